"""The layers of the package: a module imports only from its own layer or a lower one, and never in a circle."""

import ast
import importlib.util
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(importlib.util.find_spec("ivadomed").origin).parent

# A name stands for the module or package and all that is in it; the longest name that fits decides.
LAYERS = {
    0: "errors registry runtime geometry images losses metrics jobs download",
    1: "models phantom",
    2: "config config_manager transforms postprocessing visualize",
    3: "loader",
    4: "inference training",
    5: "evaluation report detection data_check suggest "
    "visualize.curves visualize.transform_preview visualize.violins",
    6: "commands sweep auto main __main__",
    7: "scripts compat keywords maths mixup preprocessing utils object_detection testing uncertainty "
    "io grid threshold "
    "loader.adaptative loader.bids3d_dataset loader.bids_dataset loader.film loader.loader "
    "loader.mri2d_segmentation_dataset loader.mri3d_subvolume_segmentation_dataset loader.sample_meta_data "
    "loader.patch_filter loader.segmentation_pair loader.slice_filter loader.utils",
}
LAYER = {f"ivadomed.{name}": number for number, names in LAYERS.items() for name in names.split()}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {module_name(path): path for path in sorted(ROOT.rglob("*.py"))}


def layer(module: str) -> int | None:
    """Layer of a module; the package itself, which holds just the version, is below all."""
    if module == "ivadomed":
        return -1
    parts = module.split(".")
    names = (".".join(parts[:n]) for n in range(len(parts), 1, -1))
    return next((LAYER[name] for name in names if name in LAYER), None)


def imported(source: str, module: str, is_package: bool) -> set[str]:
    """Modules of ivadomed that a source imports at run time, anywhere in it."""
    found: set[str] = set()

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for other in node.orelse:
                visit(other)
            return
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = module.split(".") if is_package else module.split(".")[:-1]
                base = ".".join([*package[: len(package) - node.level + 1], *([base] if base else [])])
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                found.add(inner if inner in FILES else base)
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(source))
    return {name for name in found if name.split(".")[0] == "ivadomed"}


IMPORTS = {
    name: imported(path.read_text(encoding="utf-8"), name, path.name == "__init__.py")
    for name, path in FILES.items()
}


def test_every_module_has_a_layer():
    assert [name for name in FILES if layer(name) is None] == []


def test_modules_import_from_their_own_layer_or_a_lower_one():
    upward = [
        f"{name} (layer {layer(name)}) imports {other} (layer {layer(other)})"
        for name, others in IMPORTS.items()
        for other in sorted(others)
        if layer(name) is not None and layer(other) is not None and layer(other) > layer(name)
    ]
    assert upward == []


def test_no_circle_of_imports():
    try:
        TopologicalSorter(IMPORTS).prepare()
    except CycleError as error:
        pytest.fail(f"circular import: {' <- '.join(error.args[1])}")


def test_every_import_is_a_module_of_the_package():
    known = {*FILES, "ivadomed"}
    assert {other for others in IMPORTS.values() for other in others} <= known


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import ivadomed.images.io", {"ivadomed.images.io"}),
        ("from ivadomed import errors, __version__", {"ivadomed.errors", "ivadomed"}),
        ("from ivadomed.images.io import read_image", {"ivadomed.images.io"}),
        ("def f():\n    from ivadomed.geometry.grid import Grid", {"ivadomed.geometry.grid"}),
        (
            "if TYPE_CHECKING:\n    from ivadomed.geometry.grid import Grid\nelse:\n    import ivadomed.images.io",
            {"ivadomed.images.io"},
        ),
        ("from . import case", {"ivadomed.loader.cases.case"}),
        ("from .case import Case", {"ivadomed.loader.cases.case"}),
        ("from ... import errors", {"ivadomed.errors"}),
        ("import numpy, torch", set()),
    ],
)
def test_the_walk_sees_every_way_to_import(source, expected):
    assert imported(source, "ivadomed.loader.cases.grouping", is_package=False) == expected


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("ivadomed", "torch numpy pandas scipy nibabel pydantic sklearn skimage matplotlib"),
        ("ivadomed.main", "torch numpy pandas scipy nibabel pydantic sklearn skimage matplotlib"),
        (
            "ivadomed.models",
            "pandas nibabel pydantic sklearn skimage matplotlib tensorboard lightning_fabric",
        ),
        ("ivadomed.inference", "pandas bids sklearn skimage matplotlib tensorboard lightning_fabric"),
    ],
)
def test_what_is_not_loaded(module, heavy):
    code = f"import sys, {module}; print(*sorted(set({heavy.split()}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


@pytest.mark.parametrize(
    ("names", "only"),
    [
        ({"torch.load", "torch.jit.load"}, "ivadomed.models.files"),
        ({"onnxruntime.InferenceSession"}, "ivadomed.models.files"),
    ],
)
def test_model_files_are_opened_in_one_place(names, only):
    """What is refused there would be open to every other caller of the library."""
    callers = {
        module
        for module, path in FILES.items()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in names
    }
    assert callers == {only}
