"""The one place that opens files of torch and of ONNX, none of which may run code or reach for other files.

Not every release of torch keeps what ``weights_only=True`` promises. Two kinds of file that ran code or wrote files in
spite of it never reach torch: TorchScript archives, which are programs, are refused; files of the tar format of 2016,
which torch unpacks to disk, it reads only where it may open the file itself, and it gets a buffer.
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
"""The entry by which ``torch.load`` takes an archive for TorchScript. Zip files store names as they are."""
_LOCATION = b"location"
"""The key under which a tensor names another file. Protocol buffers store text as it is."""


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
        """True for a file without a byte."""
        return not self._data

    def plain(self) -> Any:
        """Tensors, numbers, strings and containers of them.

        Raises:
            pickle.UnpicklingError: It holds, or names, anything else.
            Exception: Whatever torch raises for damaged files.
        """
        return torch.load(io.BytesIO(self._data), map_location="cpu", weights_only=True)

    def read_by(self, pickle_module: Any) -> Any:
        """Content as a ``pickle_module`` reads it, which guards what is named and called.

        Raises:
            Exception: Whatever the module and torch raise.
        """
        return torch.load(
            io.BytesIO(self._data), map_location="cpu", pickle_module=pickle_module, weights_only=False
        )


def open_onnx(
    path: str | os.PathLike[str],
    options: SessionOptions | None = None,
    providers: Sequence[str] = ("CPUExecutionProvider",),
) -> InferenceSession:
    """A session of onnxruntime.

    Weights that lie in another file are refused, wherever that is: some releases of onnxruntime read any file of the
    machine whose name a model holds, and a model whose weights are apart is half a model once it is copied.

    Args:
        path: ONNX file.
        options: Options of the session.
        providers: Execution providers of onnxruntime, by preference.

    Raises:
        ModelError: The file cannot be read, is damaged, or has weights in another file.
    """
    import onnxruntime  # slow to import, and an alternative to the PyTorch file

    options = options or onnxruntime.SessionOptions()
    # Content that begins like onnxruntime's own format would be read as that, past the check.
    options.add_session_config_entry("session.load_model_format", "ONNX")
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror}); expected an .onnx file") from error
    try:
        elsewhere = external_data(content)
        # The bytes that were checked, not the file, which could be another by now.
        session = None if elsewhere else onnxruntime.InferenceSession(content, options, list(providers))
    except Exception as error:  # onnx and onnxruntime raise types of their own that share no base
        refuse_shortage(error, path)
        raise ModelError(f"{path}: not a readable ONNX model ({str(error).splitlines()[0]})") from error
    if session is None:
        tensor, location = elsewhere[0]
        raise ModelError(
            f"{path}: refused, the weights {tensor!r} lie in another file ({location!r}); expected all of a model in "
            "its .onnx file. If you trust it, load it with onnx.load(PATH) and save that with onnx.save(MODEL, PATH)."
        )
    return session


def external_data(content: bytes) -> list[tuple[str, str]]:
    """Name and location of all tensors of an ONNX file that are not in the file.

    Graphs of branches and loops, functions, attributes and sparse tensors are searched too.

    Args:
        content: Bytes of the file.

    Raises:
        google.protobuf.message.DecodeError: It is no ONNX file.
    """
    if _LOCATION not in content:  # as a rule: nothing more to be read
        return []
    import onnx  # slow to import, and needed by hardly any file

    return [
        (tensor.name, next((entry.value for entry in tensor.external_data if entry.key == "location"), ""))
        for tensor in _tensors(onnx.ModelProto.FromString(content))
        if tensor.external_data or tensor.data_location == onnx.TensorProto.EXTERNAL
    ]


def _tensors(message: Message) -> Iterator[Any]:
    """All tensors within a message, at any depth."""
    if message.DESCRIPTOR.full_name == "onnx.TensorProto":
        yield message
        return
    for field, value in message.ListFields():
        if field.type == field.TYPE_MESSAGE:
            for part in [value] if hasattr(value, "DESCRIPTOR") else value:
                yield from _tensors(part)
