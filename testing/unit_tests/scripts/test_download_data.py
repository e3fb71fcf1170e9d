"""``ivadomed_download_data`` with archives from a server in this process."""

import threading
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from ivadomed.errors import OutputError
from ivadomed.scripts.download_data import ITEMS, get_parser, install_data, main, unzip


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
    assert all(f"  {name} " in text for name in ITEMS)
    assert all(url.startswith("https://") for item in ITEMS.values() for url in item.urls)
