"""Errors meant for the user: what is wrong and where, what was expected, what to do.

The command line prints the message without a traceback (``--debug`` shows it). Anything else that
escapes is a fault of ours and keeps its traceback.
"""

from __future__ import annotations

from collections.abc import Iterable


class IvadomedError(Exception):
    """Base of every error a user can cause and fix.

    Args:
        message: One or two lines that name the file, key or value, what was expected and the remedy.
    """

    exit_code = 1


class ConfigError(IvadomedError):
    """The configuration cannot be used; one line per problem, each with the key's full path."""


class DataError(IvadomedError):
    """A data set or an image cannot be used."""


class ModelError(IvadomedError):
    """A model file or folder cannot be used."""


class _NotFound(IvadomedError, FileNotFoundError):
    """Something is not there: programs that embed ivadomed may expect a FileNotFoundError."""

    def __str__(self) -> str:
        return str(self.args[0])


class ConfigNotFoundError(ConfigError, _NotFound):
    """There is no such configuration file."""


class DataNotFoundError(DataError, _NotFound):
    """There is no such image or data set."""


class ModelNotFoundError(ModelError, _NotFound):
    """A model folder, one of its files or a checkpoint is missing."""


class OutputError(IvadomedError):
    """A result cannot be written, or would overwrite a file of the user."""


class MachineError(IvadomedError):
    """The machine ran out of a resource: memory, processes."""


class Interrupted(IvadomedError):
    """The run was asked to stop (SIGINT, SIGTERM) and has saved its state.

    Args:
        message: How to continue.
        signum: The signal; the process exits with 128 + signum.
    """

    def __init__(self, message: str, signum: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + signum


class RunsFailed(IvadomedError):
    """Some of many runs failed; the others are finished."""


def some(names: Iterable[str], limit: int = 5, separator: str = ", ") -> str:
    """Join the first names for a message, with how many there are besides."""
    names = list(names)
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return separator.join(names[:limit]) + more
