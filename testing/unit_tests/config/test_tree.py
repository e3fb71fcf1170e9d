"""JSON as people write it: what reads is read, what does not is explained in one line with its place."""

import pytest

from ivadomed.config import load_config
from ivadomed.errors import ConfigError


@pytest.mark.parametrize(
    "raw",
    [
        b'{"command": "test"}',
        b'\xef\xbb\xbf{"command": "test"}',
        b'{\r\n"command": "test"\r\n}\r\n',
        b'{\r"command": "test"\r}\r',
        '{"command": "test"}'.encode("utf-16"),
    ],
    ids=["plain", "mark", "windows", "old mac", "utf-16"],
)
def test_texts_of_all_systems(raw, tmp_path):
    path = tmp_path / "c.json"
    path.write_bytes(raw)
    assert load_config(path).command == "test"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{\n  // mine\n  "command": "train"}', "2:3: is not valid JSON: JSON has no comments"),
        ('{"command": "train" /* mine */}', "JSON has no comments"),
        ('{\n"command": "train" # mine\n}', "2:20: is not valid JSON: JSON has no comments"),
        ('{"gpu_ids": [0,]}', "a comma too many"),
        ('{"gpu_ids": [0],\n}', "a comma too many"),
        ("{'command': 'train'}", "double quotes"),
        ('{"debugging": True}', "True is Python"),
        ('{"wandb": None, "command": "train"}', "None is Python"),
        ('{"command": "train"\n"debugging": true}', "a comma is missing"),
        ('{"command": "train", ', "ends too early"),
        ('{"command": "train"', "ends too early"),
        (" \n", "is empty"),
        ("", "is empty"),
    ],
)
def test_mistakes_are_explained(text, words, tmp_path):
    path = tmp_path / "c.json"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_other_files_and_folders(tmp_path):
    (tmp_path / "c.yaml").write_text("command: train\n")
    (tmp_path / "c.json").write_bytes(b"\x80\x81")
    for name, words in (("c.yaml", "not YAML"), ("c.json", "save it as UTF-8"), (".", "is a folder")):
        with pytest.raises(ConfigError, match=words):
            load_config(tmp_path / name)
