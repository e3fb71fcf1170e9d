"""``ivadomed_download_data`` with archives from a server in this process."""

import hashlib
import threading
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from ivadomed.errors import OutputError
from ivadomed.scripts.download_data import (
    DICT_URL,
    download_data,
    get_parser,
    install_data,
    main,
    unzip,
)


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def served(tmp_path, monkeypatch):
    """Folder whose files are served, and its URL."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "served"
    folder.mkdir()
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield folder, f"http://127.0.0.1:{httpd.server_port}"
    httpd.shutdown()
    thread.join()
    httpd.server_close()


def write(path, **files):
    with zipfile.ZipFile(path, "w") as file:
        for name, content in files.items():
            file.writestr(name, content)
    return path


def names(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def test_the_folder_of_the_archive_becomes_the_destination(served, tmp_path, capsys):
    folder, url = served
    write(folder / "set.zip", **{"set-r2020/README": "1", "set-r2020/sub-01/x.txt": "2"})
    assert main(["-d", f"{url}/set.zip"]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "set")
    assert names(tmp_path / "set") == [".ivadomed_download.json", "README", "sub-01/x.txt"]
    assert not list((tmp_path / "cache").rglob("*.zip"))
    flat = write(folder / "flat.zip", **{"README": "1", "sub-01/x.txt": "2"})
    assert install_data(f"{url}/{flat.name}", tmp_path / "flat") == tmp_path / "flat"
    assert names(tmp_path / "flat")[1:] == ["README", "sub-01/x.txt"]


def test_what_it_wrote_is_replaced_and_nothing_else(served, tmp_path, capsys):
    folder, url = served
    write(folder / "set.zip", **{"r/README": "new", "r/more": "new"})
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "README").write_text("old")
    assert main(["-d", f"{url}/set.zip", "-o", str(mine)]) == 1
    assert "add to it with -k" in capsys.readouterr().err
    assert names(mine) == ["README"]
    assert main(["-d", f"{url}/set.zip", "-o", str(mine), "-k"]) == 0
    assert names(mine) == ["README", "more"]
    assert (mine / "README").read_text() == "old"
    for content in ("1", "2"):
        write(folder / "set.zip", **{f"r/{content}": content})
        assert main(["-d", f"{url}/set.zip", "-o", "again"]) == 0
        assert names(tmp_path / "again") == [".ivadomed_download.json", content]


def test_files_of_the_user_stay_when_a_folder_is_downloaded_again(served, tmp_path, caplog):
    folder, url = served
    write(
        folder / "set.zip",
        **{"r/README": "1", "r/old": "1", "r/sub-01/a": "1", "r/sub-01/label": "1", "r/x": "1"},
    )
    assert main(["-d", f"{url}/set.zip"]) == 0
    data = tmp_path / "set"
    (data / "derivatives").mkdir()
    (data / "derivatives/mine").write_text("mine")
    (data / "sub-02").write_text("a file where the archive will have a folder")
    (data / "sub-01/label").write_text("corrected")
    (data / "x").unlink()
    (data / "x").mkdir()
    (data / "more").write_text("mine, and the archive will have one too")
    write(
        folder / "set.zip", **{"r/README": "2", "r/sub-01/a": "1", "r/sub-01/label": "2", "r/sub-02/a": "2"}
    )
    write(folder / "set2.zip", **{"r/README": "3", "r/sub-01/label": "2", "r/sub-02/a": "2", "r/more": "3"})
    for archive in ("set.zip", "set2.zip", "set2.zip"):
        assert main(["-d", f"{url}/{archive}", "-o", "set"]) == 0
    assert names(data) == [
        ".ivadomed_download.json",
        "README",
        "derivatives/mine",
        "more",
        "sub-01/label",
        "sub-02",
    ]
    assert (data / "x").is_dir()
    assert {(data / name).read_text() for name in ("derivatives/mine", "more")} == {
        "mine",
        "mine, and the archive will have one too",
    }
    assert (data / "README").read_text() == "3"
    assert (data / "sub-01/label").read_text() == "2"
    assert (tmp_path / "set_changed/sub-01/label").read_text() == "corrected"
    assert not (tmp_path / "set_changed_2").exists()
    assert "changed after the download are now in" in caplog.text
    assert "your files are kept, although the archive has others: more, sub-02/a" in caplog.text
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".set")]


def test_adding_does_not_make_a_folder_ours(served, tmp_path, capsys):
    folder, url = served
    record = '{"files": {"mine": "0"}}'
    write(folder / "set.zip", **{"r/a": "1", "r/.ivadomed_download.json": record})
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "mine").write_text("mine")
    assert main(["-d", f"{url}/set.zip", "-o", "mine", "-k"]) == 0
    assert names(mine) == ["a", "mine"]
    assert main(["-d", f"{url}/set.zip", "-o", "mine"]) == 1
    assert "not downloaded by this tool" in capsys.readouterr().err
    assert main(["-d", f"{url}/set.zip", "-o", "new"]) == 0
    assert '"mine"' not in (tmp_path / "new/.ivadomed_download.json").read_text()


def test_what_is_added_to_a_downloaded_folder_is_known_too(served, tmp_path):
    folder, url = served
    for number, content in enumerate(({"r/a": "1"}, {"r/a": "2", "r/b": "2"})):
        write(folder / f"{number}.zip", **content)
        assert main(["-d", f"{url}/{number}.zip", "-o", "set", *["-k"] * number]) == 0
    assert (tmp_path / "set/a").read_text() == "1"
    write(folder / "3.zip", **{"r/c": "3"})
    assert main(["-d", f"{url}/3.zip", "-o", "set"]) == 0
    assert names(tmp_path / "set") == [".ivadomed_download.json", "c"]


def test_nothing_is_written_or_removed_through_links(served, tmp_path):
    folder, url = served
    write(folder / "set.zip", **{"r/sub-01/a": "1", "r/b": "1"})
    assert main(["-d", f"{url}/set.zip"]) == 0
    elsewhere = tmp_path / "elsewhere"
    (tmp_path / "set/sub-01").rename(elsewhere)
    (tmp_path / "set/sub-01").symlink_to(elsewhere)
    for content in ({"r/sub-01/a": "2", "r/sub-01/new": "2"}, {"r/b": "3"}):
        write(folder / "set.zip", **content)
        assert main(["-d", f"{url}/set.zip"]) == 0
        assert names(elsewhere) == ["a"]
        assert (elsewhere / "a").read_text() == "1"


@pytest.mark.parametrize("record", ['{"archive": "set.zip"}', "{", "[]", '{"files": ["b", "../x"]}'])
def test_a_record_that_says_nothing_makes_nothing_ours(served, tmp_path, record):
    folder, url = served
    write(folder / "set.zip", **{"r/a": "2", "r/b": "2"})
    data = tmp_path / "set"
    data.mkdir()
    for name, content in ((".ivadomed_download.json", record), ("a", "mine"), ("c", "mine")):
        (data / name).write_text(content)
    assert main(["-d", f"{url}/set.zip"]) == 0
    assert [(data / name).read_text() for name in "abc"] == ["mine", "2", "mine"]


def test_checksum_of_an_archive_that_was_fetched_elsewhere(served, tmp_path, capsys):
    archive = write(tmp_path / "x.zip", a="1")
    right = hashlib.sha256(archive.read_bytes()).hexdigest()
    assert main(["-d", "t2star_sc", "--archive", str(archive), "--sha256", "0" * 64]) == 1
    assert f"{archive}: is not the requested file" in capsys.readouterr().err
    assert not (tmp_path / "t2star_sc").exists()
    assert main(["-d", "t2star_sc", "--archive", str(archive), "--sha256", "9f86"]) == 1
    assert "--sha256 9f86: expected 64" in capsys.readouterr().err
    assert main(["-d", "t2star_sc", "--archive", str(archive), "--sha256", right.upper()]) == 0


def test_names_and_functions_of_2_9(served, tmp_path):
    folder, url = served
    assert {
        "data_example_spinegeneric",
        "data_testing",
        "data_multi_testing",
        "data_functional_testing",
        "data_axondeepseg_sem",
        "t2_tumor",
        "findcord_tumor",
        "t2star_sc",
        "mice_uqueensland_gm",
        "mice_uqueensland_sc",
        "model_find_disc_t1",
        "model_find_disc_t2",
    } <= DICT_URL.keys()
    for entry in DICT_URL.values():
        assert isinstance(entry["url"], list)
        assert isinstance(entry["description"], str)
    write(folder / "set.zip", a="1")
    archive = download_data([f"{url}/absent.zip", f"{url}/set.zip"])  # the second server of two
    assert names(unzip(archive, tmp_path / "unpacked")) == ["a"]


def test_a_harmful_archive_leaves_nothing(served, tmp_path, capsys):
    folder, url = served
    write(folder / "evil.zip", **{"r/README": "1", "../../evil": "2"})
    assert main(["-d", f"{url}/evil.zip", "-o", "out/put"]) == 1
    assert "outside of its folder" in capsys.readouterr().err
    assert not list(tmp_path.rglob("evil"))
    assert names(tmp_path / "out") == []


def test_checksum_and_missing_file(served, tmp_path, capsys):
    folder, url = served
    write(folder / "set.zip", a="1")
    assert main(["-d", f"{url}/set.zip", "--sha256", "0" * 64]) == 1
    assert "expected 0000" in capsys.readouterr().err
    assert main(["-d", f"{url}/absent.zip"]) == 1
    error = capsys.readouterr().err
    assert "404" in error
    assert f"ivadomed_download_data -d {url}/absent.zip --archive FILE" in error
    assert not (tmp_path / "set").exists()


def test_an_archive_fetched_elsewhere(served, tmp_path, capsys):
    archive = write(tmp_path / "x.zip", **{"t2star_sc-r20200622/t2star_sc.json": "{}"})
    assert main(["-d", "t2star_sc", "--archive", str(archive)]) == 0
    assert names(tmp_path / "t2star_sc") == [".ivadomed_download.json", "t2star_sc.json"]
    assert archive.exists()
    assert main(["-d", "t3_sc", "--archive", str(archive)]) == 1
    assert "-d t3_sc: not known" in capsys.readouterr().err


def test_unzip_adds_to_a_folder_and_replaces_nothing(tmp_path):
    archive = write(tmp_path / "x.zip", **{"d/a": "1", "d/b": "2"})
    assert names(unzip(archive, tmp_path / "out")) == ["d/a", "d/b"]
    (tmp_path / "out/d/a").write_text("mine")
    (tmp_path / "out/d/b").unlink()
    unzip(archive, tmp_path / "out")
    assert (tmp_path / "out/d/a").read_text() == "mine"
    assert names(tmp_path / "out") == ["d/a", "d/b"]
    with pytest.raises(OutputError, match="is a file"):
        install_data("https://x.invalid/y.zip", archive)


def test_help_names_everything():
    text = get_parser().format_help()
    assert "example" in text
    assert all(f"  {name} " in text for name in DICT_URL)
    assert all(url.startswith("https://") for item in DICT_URL.values() for url in item["url"])
