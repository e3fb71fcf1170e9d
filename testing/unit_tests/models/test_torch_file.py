"""Files of torch are opened in one place, which lets no program through."""

import io
import os
import tarfile
import zipfile

import pytest
import torch
from torch import nn

from ivadomed import training
from ivadomed.errors import ModelError
from ivadomed.models import load_model, set_model_for_retrain
from ivadomed.models.files import TorchFile
from ivadomed.training.checkpoint import KEYS, read_checkpoint, save_checkpoint


def scripted(path):
    torch.jit.script(nn.ReLU()).save(str(path))


def of_two_kinds(path):
    """A whole checkpoint that has what makes an archive TorchScript, too."""
    save_checkpoint(path, dict.fromkeys(KEYS))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(f"{archive.namelist()[0].split('/')[0]}/constants.pkl", b"N.")


def with_junk_at_the_end(path):
    """Python finds no table of entries in it; another reader of zip files may."""
    scripted(path)
    with path.open("ab") as file:
        file.write(b"\0" * 70_000)
    assert not zipfile.is_zipfile(path)


def with_a_table_of_its_own(path):
    """Two tables of entries, of which Python reads the last."""
    scripted(path)
    harmless = io.BytesIO()
    torch.save({}, harmless)
    with path.open("ab") as file:
        file.write(harmless.getvalue())
    assert not any("constants" in name for name in zipfile.ZipFile(path).namelist())


PROGRAMS = [scripted, of_two_kinds, with_junk_at_the_end, with_a_table_of_its_own]


def resume(path):
    model = nn.Linear(1, 1)
    optimizer = torch.optim.Adam(model.parameters())
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 2)
    training.load_checkpoint(model, optimizer, {}, schedule, path)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    "read", [load_model, read_checkpoint, resume, lambda p: set_model_for_retrain(p, 1, "cpu")]
)
@pytest.mark.parametrize("write", PROGRAMS)
def test_a_program_of_torchscript_never_reaches_torch(tmp_path, monkeypatch, write, read):
    path = tmp_path / "best_model.pt"
    write(path)
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("torch got the file"))
    with pytest.raises(ModelError, match=r"best_model\.pt: is a TorchScript archive"):
        read(path)


class Gadget:
    def __reduce__(self):
        return os.system, ("echo run",)


def test_code_is_refused_by_the_reader_of_plain_data(tmp_path, capfd):
    torch.save({"a": Gadget()}, tmp_path / "m.pt")
    with pytest.raises(Exception, match=r"(nt|posix)\.system"):
        TorchFile(tmp_path / "m.pt").plain()
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize("read", [load_model, read_checkpoint, resume])
def test_nothing_is_unpacked_of_a_tar_file(tmp_path, monkeypatch, read):
    """Torch unpacks files of its first format, which were tar files, where it opens them by their path."""
    path = tmp_path / "old.pt"
    with tarfile.open(path, "w") as archive:
        for name in ("storages", "tensors", "pickle"):
            archive.addfile(tarfile.TarInfo(name))
    monkeypatch.setattr(tarfile.TarFile, "extract", lambda *_, **__: pytest.fail("unpacked"))
    with pytest.raises(ModelError, match=r"old\.pt: "):
        read(path)


def test_text_in_a_model_that_names_the_entry_is_no_program(tmp_path):
    """Only archives are searched; files of the format before torch 1.6 are none."""
    torch.save({"note": "constants.pkl"}, tmp_path / "m.pt", _use_new_zipfile_serialization=False)
    assert TorchFile(tmp_path / "m.pt").plain() == {"note": "constants.pkl"}
