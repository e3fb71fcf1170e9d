"""What README and documentation print is true: commands run, options exist, keys are those of the schema."""

import importlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import nbclient
import nbformat
import pytest
from configuration_keys import parts
from configuration_reference import FOLDER, overview, reference
from docutils.nodes import make_id
from tutorials import NOTEBOOKS, TUTORIALS, blocks, merged, notebook

from ivadomed.config import json_schema, load_config

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *TUTORIALS.glob("*.md")])
IN_A_MINUTE = (TUTORIALS / "index.md").read_text(encoding="utf-8")
FIRST = "one_class_segmentation_2d_unet"
CONTINUE_FIRST = ("uncertainty_estimation", "using_a_model")
# Sections whose examples need keys of other sections, or exclude each other.
COMBINED = (
    "default_model",
    "FiLMedUnet",
    "HeMISUnet",
    "Modified3DUNet",
    "ResidualEncoderUnet",
    "loader_parameters",
    "transformation.ROICrop",
)


def commands() -> dict[str, tuple[str, str]]:
    """Console script -> module and function."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    table = re.findall(r'^(ivadomed\w*) = "([\w.]+):(\w+)"$', text, re.MULTILINE)
    return {name: (module, function) for name, module, function in table}


COMMANDS = commands()


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def run_page(page: Path, folder: Path) -> None:
    """Execute the marked blocks of a page in a folder, with configurations made small."""
    small = small_values(page)
    names: dict = {"__name__": page.stem}
    for block in blocks(text_of(page)):
        if block.language == "json" and ".json" in block.note:
            write_configuration(folder, block, small)
        elif block.runs and block.language == "bash":
            for line in lines_of(block.text):
                run_line(line)
        elif block.runs:
            exec(compile(block.text, f"{page.name} (python block)", "exec"), names)


def small_values(page: Path) -> dict:
    small: dict = {}
    for text in (IN_A_MINUTE, text_of(page)):
        for block in blocks(text):
            if block.note == "small":
                small = merged(small, json.loads(block.text))
    return small


def write_configuration(folder: Path, block, small: dict) -> None:
    name, _, base = block.note.partition(" from ")
    content = json.loads(block.text)
    if base:
        content = merged(json.loads((folder / base).read_text(encoding="utf-8")), content)
    if "command" in content:
        content = merged(content, small)
    (folder / name).write_text(json.dumps(content), encoding="utf-8")


def lines_of(text: str) -> list[str]:
    joined = text.replace("\\\n", " ")
    return [line for line in joined.splitlines() if line.strip() and not line.startswith("#")]


def run_line(line: str) -> None:
    """Run a command: those of ivadomed in this process, which saves their start, others in a shell."""
    words = shlex.split(line, comments=True)
    if words[0] not in COMMANDS:
        done = subprocess.run(["bash", "-c", line], env=environment(), capture_output=True, text=True)
        assert done.returncode == 0, f"{line}\n{done.stderr}"
        return
    module, function = COMMANDS[words[0]]
    try:
        code = getattr(importlib.import_module(module), function)(words[1:])
    except SystemExit as end:
        code = end.code
    assert not code, f"{line} ended with {code}"


def environment(*folders: Path) -> dict[str, str]:
    """This environment for other processes, with folders before its PATH."""
    path = os.pathsep.join([*map(str, folders), str(Path(sys.executable).parent), os.environ["PATH"]])
    return {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def scripts(tmp_path_factory) -> Path:
    """Folder with the console scripts of this source, whatever is installed."""
    folder = tmp_path_factory.mktemp("bin")
    for name, (module, function) in COMMANDS.items():
        script = folder / name
        script.write_text(
            f"#!{sys.executable}\nimport sys\nfrom {module} import {function}\nsys.exit({function}())\n"
        )
        script.chmod(0o755)
    return folder


def runs_of(page: Path) -> str:
    return "".join(block.text for block in blocks(text_of(page)) if block.runs)


@pytest.fixture(scope="module")
def first_tutorial(tmp_path_factory) -> Path:
    """The folder in which the first tutorial was done."""
    folder = tmp_path_factory.mktemp("first tutorial")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        run_page(TUTORIALS / f"{FIRST}.md", folder)
    return folder


def test_first_tutorial(first_tutorial):
    results = first_tutorial / "spineGeneric" / "results_eval"
    assert (results / "report.html").is_file()
    assert (results / "evaluation_3Dmetrics.csv").is_file()
    assert list((first_tutorial / "results").glob("*.nii.gz"))


@pytest.mark.parametrize("name", CONTINUE_FIRST)
def test_tutorials_that_continue_the_first(name, first_tutorial, tmp_path, monkeypatch):
    folder = shutil.copytree(first_tutorial, tmp_path / "work")
    monkeypatch.chdir(folder)
    run_page(TUTORIALS / f"{name}.md", folder)


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if runs_of(page) and page.stem not in (FIRST, *CONTINUE_FIRST)],
    ids=lambda page: page.stem,
)
def test_pages(page, tmp_path, monkeypatch):
    (tmp_path / "config").symlink_to(ROOT / "config")  # README is read in a checkout
    monkeypatch.chdir(tmp_path)
    run_page(page, tmp_path)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_notebooks(name, scripts, tmp_path, monkeypatch):
    page = TUTORIALS / f"{name}.md"
    made = notebook(text_of(page), name)
    assert nbformat.read(TUTORIALS / f"{name}.ipynb", as_version=4) == made, "run docs/_ext/tutorials.py"
    small = small_values(page)
    for cell in made.cells:
        head, _, body = cell.source.partition("\n")
        if head.startswith("%%writefile"):
            cell.source = f"{head}\n{json.dumps(merged(json.loads(body), small))}"
    for key, value in environment(scripts).items():
        monkeypatch.setenv(key, value)
    nbclient.NotebookClient(made, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()


def printed_commands() -> list[tuple[str, str, str]]:
    """Page, tool and arguments of every command of ours in a block of any page."""
    found = []
    for page in PAGES:
        shown = "\n".join(block.text for block in blocks(text_of(page)) if block.language != "python")
        shown += "\n".join(re.findall(r"^    (ivadomed\w* .*)$", text_of(page), re.MULTILINE))
        for line in lines_of(shown):
            # What the shell does with the output is not the tool's.
            match = re.search(r"(?:^|-m |srun .*)\b(ivadomed\w*) +([^>|&]*)", line)
            if match and (match[1] in COMMANDS or match[1].startswith("ivadomed_")):
                found.append((page.name, match[1], match[2]))
    return found


@pytest.mark.parametrize(("page", "tool", "arguments"), printed_commands())
def test_options_of_printed_commands_exist(page, tool, arguments):
    assert tool in COMMANDS, f"{page}: there is no {tool}"
    assert code_of(tool, arguments) == 0, f"{page}: {tool} {arguments}"


def code_of(tool: str, arguments: str) -> int:
    """What the tool's parser says to arguments: 0 when it knows them, also --help and --version."""
    parser = importlib.import_module(COMMANDS[tool][0]).get_parser()
    try:
        parser.parse_args(shlex.split(arguments, comments=True))
    except SystemExit as end:
        return int(end.code or 0)
    return 0


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_documented_configurations_are_valid(page):
    for block in blocks(text_of(page)):
        if block.language == "json" and not block.note.startswith(("config_hyper.json", "cord/auto.json")):
            text = block.text if block.text.startswith("{") else "{" + block.text + "}"
            load_config(json.loads(text))


def known_paths() -> set[str]:
    known = set()
    for part in parts():
        known |= {part.path, *(key.path for key in part.keys)}
    return known


def test_keys_named_in_the_text_exist():
    known = known_paths()
    sections = {path.partition(".")[0] for path in known if "." in path}
    for page in PAGES:
        for path in re.findall(r"`(\w+(?:\.\w+)+)(?:: [^`]*)?`", text_of(page)):
            if path.partition(".")[0] in sections:
                assert path in known, f"{page.name}: {path}"


def test_every_key_of_the_schema_is_in_the_reference():
    schema = json_schema()
    names = set(schema["properties"]) - {"$schema"}
    for definition in schema["$defs"].values():
        names |= set(definition.get("properties", ()))
    shown = set(re.findall(r"`(?:[\w.]+\.)?(\w+)`", "\n".join(reference().values())))
    assert names - shown == set()


def test_filter_of_the_reference_links_to_every_explanation():
    pages = reference()
    links = re.findall(rf'href="{FOLDER}/(\w+)\.html#([^"]+)"', overview())
    explained = {
        (name, make_id(place)) for name in pages for place in re.findall(r"`\]\{#([^}]+)\}", pages[name])
    }
    assert len(links) == len(explained) > 200
    assert set(links) == explained


def test_examples_of_the_reference_are_valid():
    alone = [part for part in parts() if not part.path.startswith(COMBINED)]
    assert len(alone) > 50
    for part in alone:
        content = {key.name: json.loads(key.example) for key in part.keys}
        for name in reversed(part.path.split(".") if part.path else ()):
            content = {name: content}
        load_config(content)


def test_tests_that_the_page_on_reliability_names_exist() -> None:
    page = ROOT / "docs" / "reliability.md"
    links = re.findall(r'\]\((\.\./testing/[\w/]+\.py)(?: "(\w+)")?\)', text_of(page))
    assert len(links) > 50
    for file, name in links:
        assert f"def {name or 'test_'}" in text_of(page.parent / file)
