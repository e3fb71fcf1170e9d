"""The one place that opens files of torch, none of which may run code.

Not every release of torch keeps what ``weights_only=True`` promises. Two kinds of file that ran code or wrote files in
spite of it never reach torch: TorchScript archives, which are programs, are refused; files of the tar format of 2016,
which torch unpacks to disk, it reads only where it may open the file itself, and it gets a buffer.
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import torch

from ivadomed.errors import ModelError

_ZIP = b"PK"
_TORCHSCRIPT = b"constants.pkl"
"""The entry by which ``torch.load`` takes an archive for TorchScript. Zip files store names as they are."""


class TorchFile:
    """A torch file in memory, whose content is on the CPU once it is read.

    Args:
        path: File written by ``torch.save``.

    Raises:
        ModelError: It is a TorchScript archive.
        OSError: It cannot be read.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._data = Path(path).read_bytes()
        # The bytes are searched, not the list of entries as Python reads it: of an archive that is damaged on
        # purpose torch could read another list.
        if self._data.startswith(_ZIP) and _TORCHSCRIPT in self._data:
            raise ModelError(
                f"{os.fspath(path)}: is a TorchScript archive, which could run code; expected a model or checkpoint of "
                "ivadomed. Save it with ivadomed.models.save_model, or use the .onnx file."
            )

    @property
    def is_empty(self) -> bool:
        """Whether it has no bytes."""
        return not self._data

    def plain(self) -> Any:
        """Tensors, numbers, strings and containers of them.

        Raises:
            pickle.UnpicklingError: It holds, or names, anything else.
            Exception: Whatever torch raises for damaged files.
        """
        return torch.load(io.BytesIO(self._data), map_location="cpu", weights_only=True)

    def read_by(self, pickle_module: Any) -> Any:
        """What a ``pickle_module`` makes of it, which guards what is named and called.

        Raises:
            Exception: Whatever the module and torch raise.
        """
        return torch.load(
            io.BytesIO(self._data), map_location="cpu", pickle_module=pickle_module, weights_only=False
        )
