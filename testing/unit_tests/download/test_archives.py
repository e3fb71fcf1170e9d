"""Unpacking archives, and what is refused."""

import gzip
import io
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ivadomed.download.archives import ArchiveLimits, unpack
from ivadomed.errors import DataError, OutputError

FILES = {"data/sub-01/anat/é.nii": b"voxels" * 999, "data/README": b"", "top.txt": b"x"}


def write_zip(path, files, packing=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", packing) as file:
        for name, content in files.items():
            file.writestr(name, content)
    return path


def tar_entry(name, kind=tarfile.REGTYPE, size=0, link=""):
    entry = tarfile.TarInfo(name)
    entry.type, entry.size, entry.linkname = kind, size, link
    return entry


def write_tar(path, entries, mode="w:gz"):
    with tarfile.open(path, mode) as file:
        for entry, content in entries:
            file.addfile(entry, io.BytesIO(content))
    return path


def pack(path, kind, files):
    if kind == "zip":
        return write_zip(path, files)
    return write_tar(path, [(tar_entry(n, size=len(c)), c) for n, c in files.items()], f"w:{kind}")


def contents(folder: Path):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def refused(archive, message, **options):
    """Unpacking fails in one line and leaves nothing, neither in the folder nor around it."""
    before = sorted(archive.parent.rglob("*"))
    with pytest.raises(DataError, match=message) as caught:
        unpack(archive, archive.parent / "out", **options)
    assert "\n" not in str(caught.value)
    assert sorted(archive.parent.rglob("*")) == before


@pytest.mark.parametrize("kind", ["zip", "", "gz", "bz2", "xz"])
def test_files_come_out_as_they_went_in(tmp_path, kind):
    archive = pack(tmp_path / "archive", kind, FILES)  # its content tells the format
    assert contents(unpack(archive, tmp_path / "new" / "out")) == FILES
    with pytest.raises(OutputError, match="not empty"):
        unpack(archive, tmp_path / "new" / "out")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None)
@given(
    st.dictionaries(
        st.text("abé .-_0", min_size=1).filter(lambda name: name.strip(".")), st.binary(), max_size=5
    ),
    st.sampled_from(["zip", "gz"]),
)
def test_any_files(tmp_path_factory, files, kind):
    folder = tmp_path_factory.mktemp("any")
    assert contents(unpack(pack(folder / "a", kind, files), folder / "out")) == files


@pytest.mark.parametrize(
    "name", ["../evil", "/tmp/evil", "a/../../evil", "..\\evil", "C:/evil", "a/..", "c:evil"]
)
@pytest.mark.parametrize("kind", ["zip", "gz"])
def test_names_that_lead_outside(tmp_path, name, kind):
    refused(pack(tmp_path / "a", kind, {"ok.txt": b"1", name: b"2"}), "outside of its folder")


def test_links_and_devices(tmp_path):
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    refused(write_zip(tmp_path / "z", {link: "/etc"}), "'link' is a link or a device")
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE):
        entries = [(tar_entry("x", kind, link="/etc"), b""), (tar_entry("x/passwd", size=1), b"!")]
        refused(write_tar(tmp_path / "t", entries), "'x' is a link or a device")


def test_names_that_occur_twice(tmp_path):
    twice = [(tar_entry("a", size=1), b"1"), (tar_entry("./a", size=1), b"2")]
    refused(write_tar(tmp_path / "t", twice), "twice")
    below = [(tar_entry("a", size=1), b"1"), (tar_entry("a/b", size=1), b"2")]
    refused(write_tar(tmp_path / "t", below), "twice")


def test_bombs(tmp_path):
    limits = ArchiveLimits(ratio=10, least=100_000, members=50)
    zeros = bytes(2_000_000)
    refused(write_zip(tmp_path / "z", {"a": zeros}), "unpacks to more than", limits=limits)
    refused(pack(tmp_path / "t", "gz", {"a": zeros}), "unpacks to more than", limits=limits)
    refused(
        write_zip(tmp_path / "z", {str(i): b"" for i in range(51)}), "more than 50 members", limits=limits
    )
    assert contents(
        unpack(write_zip(tmp_path / "z", {"a": zeros[:99_000]}), tmp_path / "fits", limits=limits)
    )


def test_a_zip_that_lies_about_its_size(tmp_path):
    archive = write_zip(tmp_path / "z", {"a": bytes(500_000)})
    content = archive.read_bytes()
    size = (500_000).to_bytes(4, "little")
    assert content.count(size) == 2
    archive.write_bytes(content.replace(size, (10).to_bytes(4, "little")))
    refused(archive, "damaged", limits=ArchiveLimits(ratio=1, least=100_000))


def test_a_header_that_would_fill_the_memory(tmp_path):
    header = tar_entry("x", tarfile.XHDTYPE, 1 << 28).tobuf(tarfile.PAX_FORMAT)
    (tmp_path / "t").write_bytes(gzip.compress(header + bytes(1 << 25)))
    refused(tmp_path / "t", "has a header of 268435456 bytes")


@pytest.mark.parametrize("kind", ["zip", "gz", "bz2", "xz"])
def test_damaged_archives(tmp_path, kind):
    archive = pack(tmp_path / "a", kind, {"a": bytes(range(256)) * 4000})
    content = archive.read_bytes()
    archive.write_bytes(content[: len(content) // 2])
    refused(archive, "damaged or no zip or tar archive")


def test_what_is_no_archive(tmp_path):
    (tmp_path / "page.zip").write_text("<html>404</html>")
    refused(tmp_path / "page.zip", "damaged or no zip or tar archive")
    refused(tmp_path / "absent.zip", "no such archive")
