"""Errors meant for the user: what is wrong and where, what was expected, what to do.

The command line prints the message without a traceback (``--debug`` shows it). Any other exception that
escapes is a bug in ivadomed and keeps its traceback.
"""

from __future__ import annotations

from collections.abc import Iterable


class IvadomedError(Exception):
    """Base of all errors that users can cause and fix.

    Args:
        message: One or two lines with the file, key or value, the expected content and the remedy.
    """

    exit_code = 1


class ConfigError(IvadomedError):
    """The configuration cannot be used; one line per problem, each with the key's full path."""


class DataError(IvadomedError):
    """A data set or an image cannot be used."""


class ModelError(IvadomedError):
    """A model file or folder cannot be used."""


class _NotFound(IvadomedError, FileNotFoundError):
    """A file is missing: programs that embed ivadomed may expect a FileNotFoundError."""

    def __str__(self) -> str:
        return str(self.args[0])


class ConfigNotFoundError(ConfigError, _NotFound):
    """The configuration file does not exist."""


class DataNotFoundError(DataError, _NotFound):
    """The image or data set does not exist."""


class ModelNotFoundError(ModelError, _NotFound):
    """A model folder, one of its files or a checkpoint is missing."""


class OutputError(IvadomedError):
    """A result cannot be written, or would overwrite one of the user's files."""


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
    """Some of several runs failed; the others are finished."""


def some(names: Iterable[str], limit: int = 5, separator: str = ", ") -> str:
    """Join the first names for a message, and count the rest."""
    names = list(names)
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return separator.join(names[:limit]) + more
