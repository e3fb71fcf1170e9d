"""Every reader of JSON files meets texts that are nested without end, have huge numbers or keys, or a key twice."""

import json
from functools import partial
from pathlib import Path

import pytest

from ivadomed.commands.records import trained_in, version_text, was_trained_on
from ivadomed.config import load_config
from ivadomed.config.tree import read_json
from ivadomed.detection.cascade import read_boxes
from ivadomed.errors import IvadomedError
from ivadomed.images.files import DuplicateKeyError, NestingError, parse_json
from ivadomed.jobs.store import ResultStore
from ivadomed.loader.bids.index import read_json_object
from ivadomed.loader.bids.names import load_rules
from ivadomed.loader.cases.volumes import pixel_size_mm
from ivadomed.loader.conditions import FilmEncoder, has_value
from ivadomed.loader.prepared.files import CaseFile
from ivadomed.loader.split.file import read_split

BOMBS = {
    "lists": "[" * 100_000,
    "objects": '{"a":' * 100_000,
    "objects that end": '{"a":' * 50_000 + "1" + "}" * 50_000,
    "long number": '{"a": ' + "9" * 100_000 + "}",
    "large number": '{"a": 1e400, "features": [{"name": "a", "minima": [1' + "0" * 400 + '], "known": []}]}',
    "long key": '{"' + "k" * 1_000_000 + '": 1}',
    "many keys": "{" + ",".join(f'"{i}": 1' for i in range(100_000)) + ', "99999": 2}',
    "not a number": '{"a": NaN, "train": Infinity, "data": [NaN], "entities": [1e999]}',
    "long key twice": "{" + ",".join(['"' + "k" * 100_000 + '": 1'] * 2) + "}",
    "null": "null",
    "half a character": '{"a": "\\ud800"}',
}


def case_file(path: Path) -> None:
    text = path.read_bytes()
    path.write_bytes(b"%08d%08d" % (min(len(text), 10**8 - 1), 4096) + text)
    assert CaseFile.open(path) is None


def ledger(path: Path) -> None:
    entries = ResultStore(path.parent)
    entries.write("job", "name", 1)
    path.rename(next(file for file in path.parent.iterdir() if file != path))
    entries.read("job")


def manifest(path: Path) -> None:
    path.rename(path.parent / "manifest.json")
    assert not was_trained_on(path.parent, ["x"])
    assert trained_in(path.parent) == {}


def description(path: Path) -> None:
    path.rename(path.parent / "dataset_description.json")
    version_text(load_config({"loader_parameters": {"path_data": [str(path.parent)]}}))


def encoder(path: Path) -> None:
    path.rename(path.parent / "film_encoder.json")
    FilmEncoder.load(path.parent)


READERS = {
    "JSON": read_json,
    "configuration": load_config,
    "packaged model": partial(read_json, strict=False),
    "sidecar": read_json_object,
    "boxes": read_boxes,
    "split": read_split,
    "layout": load_rules,
    "FiLM encoder": encoder,
    "manifest": manifest,
    "description": description,
    "ledger": ledger,
    "prepared case": case_file,
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("bomb", BOMBS)
def test_a_bomb_is_an_error_of_one_line_or_does_no_harm(tmp_path, reader, bomb):
    path = tmp_path / "file.json"
    path.write_text(BOMBS[bomb], encoding="utf-8")
    message = ""
    try:
        READERS[reader](path)
    except IvadomedError as error:
        message = str(error)
    assert len(message) < 1000
    assert len(message.splitlines()) <= 3


@pytest.mark.parametrize("reader", [read_json, read_split, read_boxes])
def test_a_key_that_decides_stands_once(tmp_path, reader):
    path = tmp_path / "twice.json"
    path.write_text('{"train": [], "valid": [], "test": [], "train": ["x"]}')
    with pytest.raises(IvadomedError, match=r"twice\.json.*the key 'train' occurs twice in one object"):
        reader(path)


def test_faults_of_a_text_are_value_errors():
    with pytest.raises(NestingError):
        parse_json("[" * 100_000)
    with pytest.raises(DuplicateKeyError, match="'a' occurs twice"):
        parse_json('{"b": {"a": 1, "a": 1}}', unique=True)
    assert parse_json('{"a": 1, "a": 2}') == {"a": 2}


@pytest.mark.parametrize(
    "size",
    [10**400, "wide", None, {"x": 1}, [1, [2]], [1, "x"], [0, 1], [float("inf")], [float("nan"), 1], []],
)
def test_pixel_sizes_that_are_none(size):
    with pytest.raises(IvadomedError, match="is not a pixel size") as caught:
        pixel_size_mm({"PixelSize": size}, "a.png")
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("unit", [["mm"], {"mm": 1}, None, 1])
def test_units_of_pixels_that_are_none(unit):
    with pytest.raises(IvadomedError, match="is not a pixel size"):
        pixel_size_mm({"PixelSize": [1, 1], "PixelSizeUnits": unit})


def test_a_number_beyond_all_floats_is_no_value_for_film():
    assert not has_value("EchoTime", 10**400)
    assert has_value("EchoTime", 0.01)


def test_boxes_beyond_every_image_are_refused(tmp_path):
    path = tmp_path / "bounding_boxes.json"
    path.write_text(json.dumps({"a": [0, 10**30, 0, 1, 0, 1]}))
    with pytest.raises(IvadomedError, match="is not a bounding box"):
        read_boxes(path)
