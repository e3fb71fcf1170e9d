"""Transfers from a server of our own, which fails in the ways in which servers fail."""

import hashlib
import socket
import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from ivadomed.download.http import Download, DownloadError, Patience, _SafeRedirects, fetch
from ivadomed.errors import OutputError

CONTENT = bytes(range(256)) * 5000  # 1.28 MB, several reads
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server:
    """Answers each request with the next step of ``plan``, and afterwards properly.

    Steps: a status; ("cut", n): n bytes and an end; ("to", url): a redirect; "other range", "no range".
    """

    def __init__(self):
        self.content, self.tag, self.length = CONTENT, '"v1"', True
        self.plan, self.seen = [], []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                outer.seen.append(dict(self.headers))
                outer.answer(self, outer.plan.pop(0) if outer.plan else None)

            def log_message(self, *_):
                pass

        self.httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.httpd.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.httpd.server_port}/data set.zip".replace(" ", "%20")

    def answer(self, request, step):
        request.close_connection = True
        if isinstance(step, int):
            request.send_response(step)
            request.send_header("Retry-After", "7")
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
        if isinstance(step, tuple) and step[0] == "to":
            request.send_response(302)
            request.send_header("Location", step[1])
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
        start = 0
        asked = request.headers.get("Range")
        fits = request.headers.get("If-Range") in (None, self.tag)
        if asked and fits and step != "no range":
            start = int(asked.removeprefix("bytes=").rstrip("-"))
        if start >= len(self.content):
            request.send_response(416)
            request.send_header("Content-Range", f"bytes */{len(self.content)}")
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
        request.send_response(206 if start else 200)
        if start:
            place = 0 if step == "other range" else start
            request.send_header("Content-Range", f"bytes {place}-{len(self.content) - 1}/{len(self.content)}")
        if self.tag:
            request.send_header("ETag", self.tag)
        if self.length:
            request.send_header("Content-Length", str(len(self.content) - start))
        request.end_headers()
        body = self.content[start:]
        request.wfile.write(body[: step[1]] if isinstance(step, tuple) else body)

    def ranges(self):
        return [headers.get("Range") for headers in self.seen]


@pytest.fixture
def server():
    made = Server()
    yield made
    made.httpd.shutdown()
    made.thread.join()
    made.httpd.server_close()


@pytest.fixture
def waits():
    return []


@pytest.fixture
def patience(waits):
    return Patience(attempts=3, first_wait=1, sleep=waits.append)


def test_a_file_and_nothing_beside_it(server, tmp_path, patience, waits):
    path = fetch(Download((server.url,), len(CONTENT), SHA256), tmp_path / "new" / "x.zip", patience)
    assert path.read_bytes() == CONTENT
    assert [p.name for p in path.parent.iterdir() if not p.name.endswith(".lock")] == ["x.zip"]
    assert waits == []


def test_a_transfer_that_is_cut_off_goes_on(server, tmp_path, patience, waits):
    server.plan = [("cut", 300_000), ("cut", 500_000)]
    assert fetch(Download((server.url,)), tmp_path / "x", patience).read_bytes() == CONTENT
    assert server.ranges() == [None, "bytes=300000-", "bytes=800000-"]
    assert server.seen[1]["If-Range"] == '"v1"'
    assert len(waits) == 2


def test_a_later_process_goes_on(server, tmp_path, patience):
    server.plan = [("cut", 300_000), 404]
    with pytest.raises(DownloadError, match="404"):
        fetch(Download((server.url,)), tmp_path / "x", patience)
    assert not (tmp_path / "x").exists()
    assert fetch(Download((server.url,)), tmp_path / "x", patience).read_bytes() == CONTENT
    assert server.ranges()[-1] == "bytes=300000-"


def test_a_part_of_another_version_is_dropped(server, tmp_path, patience):
    server.plan = [("cut", 300_000), 404]
    with pytest.raises(DownloadError):
        fetch(Download((server.url,)), tmp_path / "x", patience)
    server.content, server.tag = CONTENT[::-1], '"v2"'
    assert fetch(Download((server.url,)), tmp_path / "x", patience).read_bytes() == CONTENT[::-1]


@pytest.mark.parametrize("tag", [None, 'W/"v1"'])
def test_without_a_version_it_begins_anew_unless_the_checksum_is_known(server, tmp_path, patience, tag):
    server.tag = tag
    server.plan = [("cut", 300_000)]
    assert fetch(Download((server.url,)), tmp_path / "x", patience).read_bytes() == CONTENT
    assert server.ranges() == [None, None]
    server.plan = [("cut", 300_000)]
    assert fetch(Download((server.url,), None, SHA256), tmp_path / "y", patience).read_bytes() == CONTENT
    assert server.ranges()[2:] == [None, "bytes=300000-"]


def test_a_wrong_part_is_noticed_by_the_checksum(server, tmp_path, patience):
    (tmp_path / "x.part").write_bytes(b"?" * 1000)
    assert fetch(Download((server.url,), None, SHA256), tmp_path / "x", patience).read_bytes() == CONTENT
    assert server.ranges() == ["bytes=1000-", None]


def test_a_part_that_is_the_whole_file(server, tmp_path, patience):
    (tmp_path / "x.part").write_bytes(CONTENT)
    assert fetch(Download((server.url,), None, SHA256), tmp_path / "x", patience).read_bytes() == CONTENT
    (tmp_path / "y.part").write_bytes(CONTENT + b"more")
    assert fetch(Download((server.url,), None, SHA256), tmp_path / "y", patience).read_bytes() == CONTENT


@pytest.mark.parametrize("step", ["other range", "no range"])
def test_servers_that_answer_another_range(server, tmp_path, patience, step):
    server.plan = [("cut", 300_000), step]
    assert fetch(Download((server.url,)), tmp_path / "x", patience).read_bytes() == CONTENT


def test_a_flaky_server_is_given_time(server, tmp_path, patience, waits):
    server.plan = [503, 429]
    assert fetch(Download((server.url,)), tmp_path / "x", patience).read_bytes() == CONTENT
    assert [round(wait / 7) for wait in waits] == [1, 1]  # what it asked for, give or take a fifth


def test_waits_grow_until_patience_ends(server, tmp_path, patience, waits):
    server.plan = [500] * 9
    with pytest.raises(DownloadError, match="the server answered 500") as caught:
        fetch(Download((server.url,)), tmp_path / "x", patience)
    assert len(server.seen) == 3
    assert "on another machine" in str(caught.value)


def test_progress_renews_patience(server, tmp_path, patience):
    server.plan = [("cut", 100_000)] * 8
    assert fetch(Download((server.url,)), tmp_path / "x", patience).read_bytes() == CONTENT


def test_the_next_server_is_tried(server, tmp_path, patience, caplog):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        dead = f"http://127.0.0.1:{closed.getsockname()[1]}/x"
    source = Download((dead, server.url), len(CONTENT), SHA256)
    assert fetch(source, tmp_path / "x", patience).read_bytes() == CONTENT
    assert f"trying {server.url}" in caplog.text


def test_another_file_than_expected(server, tmp_path, patience):
    for source in (Download((server.url,), 17), Download((server.url,), None, "0" * 64)):
        with pytest.raises(DownloadError, match="expected"):
            fetch(source, tmp_path / "x", patience)
    assert not list(tmp_path.glob("x.part"))
    server.length = False  # then it is seen at the end
    with pytest.raises(DownloadError, match="expected 17"):
        fetch(Download((server.url,), 17), tmp_path / "x", patience)


@pytest.fixture
def mirror():
    made = Server()
    yield made
    made.httpd.shutdown()
    made.thread.join()
    made.httpd.server_close()


def test_a_redirect_is_followed_again_when_the_transfer_goes_on(server, mirror, tmp_path, patience):
    server.plan = [("to", mirror.url)] * 2
    mirror.plan = [("cut", 300_000)]
    assert fetch(Download((server.url,)), tmp_path / "x", patience).read_bytes() == CONTENT
    assert mirror.ranges() == [None, "bytes=300000-"]
    assert mirror.seen[1]["If-Range"] == '"v1"'


def test_a_redirect_to_a_mirror_with_another_version_begins_anew(server, mirror, tmp_path, patience):
    mirror.content, mirror.tag = CONTENT[::-1], '"v2"'
    server.plan = [("cut", 300_000), ("to", mirror.url)]
    assert fetch(Download((server.url,)), tmp_path / "x", patience).read_bytes() == CONTENT[::-1]


def test_a_mirror_does_not_go_on_with_the_part_of_another_server(server, mirror, tmp_path, patience):
    mirror.content = CONTENT[::-1]  # and it has the same tag
    server.plan = [("cut", 300_000), 404]
    assert fetch(Download((server.url, mirror.url)), tmp_path / "x", patience).read_bytes() == CONTENT[::-1]


def test_redirects_in_a_circle(server, tmp_path, patience):
    server.plan = [("to", server.url)] * 40
    with pytest.raises(DownloadError, match="the server answered 302"):
        fetch(Download((server.url,)), tmp_path / "x", patience)


@pytest.mark.parametrize("place", ["file:///etc/passwd", "ftp://127.0.0.1/x"])
def test_redirects_to_other_protocols(server, tmp_path, patience, place):
    server.plan = [("to", place)]
    with pytest.raises(DownloadError) as caught:
        fetch(Download((server.url,)), tmp_path / "x", patience)
    assert place in str(caught.value)
    assert not (tmp_path / "x").exists()


def test_no_redirect_from_an_encrypted_connection_to_a_plain_one():
    request = urllib.request.Request("https://x.invalid/a")
    follow = _SafeRedirects().redirect_request
    assert follow(request, None, 302, "", {}, "https://y.invalid/a").full_url == "https://y.invalid/a"
    with pytest.raises(urllib.error.HTTPError, match="no encrypted connection"):
        follow(request, None, 302, "", {}, "http://x.invalid/a")


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://x/y", "data.zip"])
def test_only_http(tmp_path, url):
    with pytest.raises(DownloadError, match="expected a URL"):
        fetch(Download((url,)), tmp_path / "x")


def test_no_place_to_write(server, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be written"):
        fetch(Download((server.url,)), tmp_path / "file" / "x")
