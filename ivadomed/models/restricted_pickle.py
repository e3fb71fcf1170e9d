"""Unpickle whole-module files of ivadomed <= 2.9.10 without running code from the file.

A pickle is a program that may call anything it can name. This reader accepts a fixed table of names, each
only in its role: classes may be instantiated empty (their state is filled in as data), and a few rebuild
functions may be called. Nothing is ever imported on behalf of the file.
"""

from __future__ import annotations

import pickle
import types
from collections import OrderedDict
from collections.abc import Callable
from typing import IO, Any, ClassVar

import torch
from torch import nn

from ivadomed.models import blocks, classifiers, countception, film, hemis, unet, unet3d


class ForbiddenGlobal(pickle.UnpicklingError):
    """The file names an object that is not in the table.

    Args:
        name: ``module.name`` as in the file.
    """

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} is not allowed in a model file")
        self.name = name


_OWN_MODULES = (blocks, classifiers, countception, film, hemis, unet, unet3d)
_OWN: dict[str, type] = {
    name: value
    for module in _OWN_MODULES
    for name, value in vars(module).items()
    if isinstance(value, type) and issubclass(value, nn.Module) and value.__module__ == module.__name__
}

_TORCH_LAYERS = {
    "activation": ("ReLU", "LeakyReLU", "Sigmoid", "Softmax"),
    "batchnorm": ("BatchNorm1d", "BatchNorm2d", "BatchNorm3d"),
    "container": ("ModuleDict", "ModuleList", "Sequential"),
    "conv": ("Conv1d", "Conv2d", "Conv3d", "ConvTranspose2d", "ConvTranspose3d"),
    "dropout": ("Dropout", "Dropout2d", "Dropout3d"),
    "instancenorm": ("InstanceNorm1d", "InstanceNorm2d", "InstanceNorm3d"),
    "linear": ("Identity", "Linear"),
    "pooling": ("AdaptiveAvgPool2d", "AvgPool2d", "AvgPool3d", "MaxPool2d", "MaxPool3d"),
    "upsampling": ("Upsample",),
}

_TORCHVISION_BLOCKS = {
    ("torchvision.models.resnet", "BasicBlock"): classifiers.BasicBlock,
    ("torchvision.models.densenet", "_DenseBlock"): classifiers._DenseBlock,
    ("torchvision.models.densenet", "_DenseLayer"): classifiers._DenseLayer,
    ("torchvision.models.densenet", "_Transition"): classifiers._Transition,
}

_CLASSES: dict[tuple[str, str], type] = {
    **{
        (f"torch.nn.modules.{module}", name): getattr(nn, name)
        for module, names in _TORCH_LAYERS.items()
        for name in names
    },
    **_TORCHVISION_BLOCKS,
    ("torch.nn.parallel.data_parallel", "DataParallel"): nn.DataParallel,
}


def _bound_method(instance: object, name: str) -> None:
    """The function that ``getattr`` in a pickle becomes.

    Attention gates of 2.9.10 stored a bound method as attribute ``operation_function``; current ones do not use it.
    """
    if not (isinstance(instance, blocks.GridAttentionBlockND) and name == "_concatenation"):
        raise ForbiddenGlobal("builtins.getattr")


_FUNCTIONS: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): torch._utils._rebuild_tensor_v2,
    ("torch._utils", "_rebuild_parameter"): torch._utils._rebuild_parameter,
    ("torch", "Size"): torch.Size,
    ("torch", "device"): torch.device,
    ("builtins", "set"): set,
    ("__builtin__", "set"): set,
    ("builtins", "getattr"): _bound_method,
    ("__builtin__", "getattr"): _bound_method,
}

# Values that may only be referenced.
_VALUES: dict[tuple[str, str], Any] = {
    ("torch", name): getattr(torch, name) for name in ("float16", "bfloat16", "float32", "float64", "int64")
}


class RestrictedUnpickler(pickle._Unpickler):
    """Pickle reader for ``torch.load(pickle_module=RestrictedPickle)``.

    It extends the pure-Python reader, the only one whose opcodes can be restricted.
    """

    stack: list[Any]
    dispatch: ClassVar[dict[int, Callable[..., None]]] = dict(pickle._Unpickler.dispatch)

    def find_class(self, module: str, name: str) -> Any:
        """The object for a name of the table; nothing is imported."""
        if module == "ivadomed.models" or module.startswith("ivadomed.models."):
            if name in _OWN:
                return _OWN[name]
        else:
            for table in (_CLASSES, _FUNCTIONS, _VALUES):
                if (module, name) in table:
                    return table[module, name]
        raise ForbiddenGlobal(f"{module}.{name}")

    # torch assigns its own `persistent_load`. For a module saved with its source text, torch would compare the
    # text and could write a patch file; here only the class is used.
    @property
    def persistent_load(self) -> Any:
        return self._persistent_load

    @persistent_load.setter
    def persistent_load(self, torch_load: Any) -> None:
        def load(pid: Any) -> Any:
            if isinstance(pid, tuple) and pid and pid[0] == "module":
                return self._require_class(pid[1])
            return torch_load(pid)

        self._persistent_load = load

    @staticmethod
    def _require_class(value: Any) -> type:
        if isinstance(value, type) and issubclass(value, nn.Module):
            return value
        raise ForbiddenGlobal(_describe(value))

    def _load_reduce(self) -> None:
        function = self.stack[-2]
        if not any(function is allowed for allowed in _FUNCTIONS.values()):
            raise ForbiddenGlobal(_describe(function))
        pickle._Unpickler.load_reduce(self)  # type: ignore[attr-defined]

    def _load_newobj(self) -> None:
        self._require_class(self.stack[-2])
        pickle._Unpickler.load_newobj(self)  # type: ignore[attr-defined]

    def _load_build(self) -> None:
        instance, state = self.stack[-2], self.stack[-1]
        if not (isinstance(instance, nn.Module | OrderedDict) and isinstance(state, dict)):
            raise ForbiddenGlobal(f"state for {_describe(instance)}")
        pickle._Unpickler.load_build(self)  # type: ignore[attr-defined]

    def _refuse(self) -> None:
        raise ForbiddenGlobal("an opcode torch.save does not write")

    dispatch[pickle.REDUCE[0]] = _load_reduce
    dispatch[pickle.NEWOBJ[0]] = _load_newobj
    dispatch[pickle.BUILD[0]] = _load_build
    for _opcode in (pickle.INST, pickle.OBJ, pickle.NEWOBJ_EX, pickle.EXT1, pickle.EXT2, pickle.EXT4):
        dispatch[_opcode[0]] = _refuse
    del _opcode


class RestrictedPickle:
    """The attributes that ``torch.load`` expects of a `pickle_module`."""

    Unpickler = RestrictedUnpickler

    @staticmethod
    def load(file: IO[bytes], **kwargs: Any) -> Any:
        """Read one pickle."""
        return RestrictedUnpickler(file, **kwargs).load()


def _describe(value: Any) -> str:
    if isinstance(value, type | types.FunctionType | types.BuiltinFunctionType):
        return f"{value.__module__}.{value.__qualname__}"
    return f"an object of type {type(value).__qualname__}"
