"""The only module that opens torch and ONNX files, which must neither run code nor access other files.

Not every release of torch keeps the promise of ``weights_only=True``. Two kinds of file that ran code or wrote files
despite it are blocked: TorchScript archives, which are programs, are refused; files in the tar format of 2016, which
torch unpacks to disk, are read only if torch opens the file itself, and it is given a buffer instead.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ivadomed.errors import ModelError
from ivadomed.runtime.failures import refuse_shortage

if TYPE_CHECKING:
    from google.protobuf.message import Message
    from onnxruntime import InferenceSession, SessionOptions

_ZIP = b"PK"
_TORCHSCRIPT = b"constants.pkl"
"""The entry by which ``torch.load`` recognizes TorchScript archives. Zip files store names verbatim."""
_LOCATION = b"location"
"""The key under which a tensor names another file. Protocol buffers store text verbatim."""


class TorchFile:
    """A torch file in memory; its content is loaded to the CPU.

    Args:
        path: File written by ``torch.save``.

    Raises:
        ModelError: The file is a TorchScript archive.
        OSError: The file cannot be read.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._data = Path(path).read_bytes()
        # Search the bytes, not the list of entries as read by Python: in a deliberately damaged archive, torch could
        # read another list.
        if self._data.startswith(_ZIP) and _TORCHSCRIPT in self._data:
            raise ModelError(
                f"{os.fspath(path)}: is a TorchScript archive, which could run code; expected an ivadomed model or "
                "checkpoint. Save it with ivadomed.models.save_model, or use the .onnx file."
            )

    @property
    def is_empty(self) -> bool:
        """True if the file has no content."""
        return not self._data

    def plain(self) -> Any:
        """Read tensors, numbers, strings and containers of them.

        Raises:
            pickle.UnpicklingError: The file contains or names anything else.
            Exception: Any error that torch raises for damaged files.
        """
        return torch.load(io.BytesIO(self._data), map_location="cpu", weights_only=True)

    def read_by(self, pickle_module: Any) -> Any:
        """Read the content with a ``pickle_module`` that restricts the names and calls in it.

        Raises:
            Exception: Any error that the module or torch raises.
        """
        return torch.load(
            io.BytesIO(self._data), map_location="cpu", pickle_module=pickle_module, weights_only=False
        )


def open_onnx(
    path: str | os.PathLike[str],
    options: SessionOptions | None = None,
    providers: Sequence[str] = ("CPUExecutionProvider",),
) -> InferenceSession:
    """Open an onnxruntime session.

    Weights in another file are refused, wherever it is: some releases of onnxruntime read any file of the machine
    that a model names, and a model with external weights is incomplete once it is copied.

    Args:
        path: ONNX file.
        options: Session options.
        providers: Execution providers of onnxruntime, in order of preference.

    Raises:
        ModelError: The file cannot be read, is damaged, or has weights in another file.
    """
    import onnxruntime  # slow to import, and an alternative to the PyTorch file

    options = options or onnxruntime.SessionOptions()
    # Content that starts like onnxruntime's own format would be read as such, bypassing the check.
    options.add_session_config_entry("session.load_model_format", "ONNX")
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror}); expected an .onnx file") from error
    try:
        elsewhere = external_data(content)
        # Pass the bytes that were checked, not the file, which could have changed by now.
        session = None if elsewhere else onnxruntime.InferenceSession(content, options, list(providers))
    except Exception as error:  # onnx and onnxruntime raise their own types without a common base
        refuse_shortage(error, path)
        raise ModelError(f"{path}: not a readable ONNX model ({str(error).splitlines()[0]})") from error
    if session is None:
        tensor, location = elsewhere[0]
        raise ModelError(
            f"{path}: refused, the weights {tensor!r} lie in another file ({location!r}); expected all weights in "
            "the .onnx file. If you trust it, load it with onnx.load(PATH) and save that with onnx.save(MODEL, PATH)."
        )
    return session


def external_data(content: bytes) -> list[tuple[str, str]]:
    """Name and location of all tensors of an ONNX file that are stored elsewhere.

    Subgraphs of branches and loops, functions, attributes and sparse tensors are searched too.

    Args:
        content: Bytes of the file.

    Raises:
        google.protobuf.message.DecodeError: The content is not an ONNX file.
    """
    if _LOCATION not in content:  # the usual case: no parsing needed
        return []
    import onnx  # slow to import, and rarely needed

    return [
        (tensor.name, next((entry.value for entry in tensor.external_data if entry.key == "location"), ""))
        for tensor in _tensors(onnx.ModelProto.FromString(content))
        if tensor.external_data or tensor.data_location == onnx.TensorProto.EXTERNAL
    ]


def _tensors(message: Message) -> Iterator[Any]:
    """Yield all tensors within a message, at any depth."""
    if message.DESCRIPTOR.full_name == "onnx.TensorProto":
        yield message
        return
    for field, value in message.ListFields():
        if field.type == field.TYPE_MESSAGE:
            for part in [value] if hasattr(value, "DESCRIPTOR") else value:
                yield from _tensors(part)
