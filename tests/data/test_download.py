from __future__ import annotations

import hashlib
import http.server
import io
import re
import threading
import zipfile

import pytest

from spikeworks.core.errors import DataError
from spikeworks.data.download import download, fetch
from spikeworks.data.files import FileSet, Source, WantedFile, locate, tree_digest

BODY = bytes(range(256)) * 1000
SUM = "sha256:" + hashlib.sha256(BODY).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves ``server.files`` with ranges; cuts a connection where ``server.cut`` says so."""

    def do_GET(self):
        server = self.server
        server.asked.append((self.path, self.headers.get("Range")))
        body = server.files.get(self.path)
        if body is None:
            self.send_error(404)
            return
        start = 0
        match = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if match and server.ranges:
            start = int(match[1])
            if start >= len(body):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(body)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        end = start + server.cut.pop(0) if server.cut else len(body)
        self.wfile.write(body[start:end])

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.files, running.ranges, running.cut, running.asked = {"/a.bin": BODY}, True, [], []
        running.url = f"http://127.0.0.1:{running.server_port}"
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def test_whole_file_with_progress(server, tmp_path):
    seen = []
    target = download(f"{server.url}/a.bin", tmp_path / "new" / "a.bin", SUM, lambda *at: seen.append(at))
    assert target.read_bytes() == BODY
    assert seen[-1] == (len(BODY), len(BODY)) and len(seen) > 1
    assert [path.name for path in target.parent.iterdir()] == ["a.bin"]


def test_resumes_where_an_earlier_call_was_cut_off(server, tmp_path):
    server.cut = [100_000]
    with pytest.raises(
        DataError, match=f"the connection ended after 100000 of {len(BODY)} bytes.*\n.*100000 bytes are"
    ):
        download(f"{server.url}/a.bin", tmp_path / "a.bin", SUM, attempts=1)
    assert not (tmp_path / "a.bin").exists()
    download(f"{server.url}/a.bin", tmp_path / "a.bin", SUM)
    assert server.asked[-1] == ("/a.bin", "bytes=100000-")
    assert (tmp_path / "a.bin").read_bytes() == BODY


def test_tries_again_within_one_call(server, tmp_path):
    server.cut = [1000, 2000]
    download(f"{server.url}/a.bin", tmp_path / "a.bin", SUM)
    assert [asked for _, asked in server.asked] == [None, "bytes=1000-", "bytes=3000-"]
    assert (tmp_path / "a.bin").read_bytes() == BODY


def test_a_server_without_ranges_sends_it_all(server, tmp_path):
    server.ranges = False
    (tmp_path / "a.bin.part").write_bytes(BODY[:500])
    download(f"{server.url}/a.bin", tmp_path / "a.bin", SUM)
    assert (tmp_path / "a.bin").read_bytes() == BODY


def test_a_part_that_is_whole_already(server, tmp_path):
    (tmp_path / "a.bin.part").write_bytes(BODY)
    download(f"{server.url}/a.bin", tmp_path / "a.bin", SUM)
    assert (tmp_path / "a.bin").read_bytes() == BODY


def test_a_part_of_another_file_is_dropped(server, tmp_path):
    (tmp_path / "a.bin.part").write_bytes(b"x" * 500)
    download(f"{server.url}/a.bin", tmp_path / "a.bin", SUM)
    assert (tmp_path / "a.bin").read_bytes() == BODY
    (tmp_path / "b.bin.part").write_bytes(b"x" * (len(BODY) + 1))
    download(f"{server.url}/a.bin", tmp_path / "b.bin", SUM)
    assert (tmp_path / "b.bin").read_bytes() == BODY


def test_wrong_checksum_leaves_nothing(server, tmp_path):
    with pytest.raises(DataError, match=r"wrong checksum: expected md5:0123, got md5:[0-9a-f]{32}"):
        download(f"{server.url}/a.bin", tmp_path / "a.bin", "md5:0123")
    assert list(tmp_path.iterdir()) == []


def test_addresses_that_fail(server, tmp_path):
    with pytest.raises(DataError, match="Cannot download .*/absent: the server answered 404"):
        download(f"{server.url}/absent", tmp_path / "a.bin")
    assert len(server.asked) == 1
    with pytest.raises(DataError, match="Cannot download http://127.0.0.1:9/a.bin: .*refused"):
        download("http://127.0.0.1:9/a.bin", tmp_path / "a.bin", attempts=1)
    with pytest.raises(DataError, match="Expected an http or https address"):
        download("file:///etc/hostname", tmp_path / "a.bin")
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(DataError, match="Cannot write .*file/a.bin"):
        download(f"{server.url}/a.bin", tmp_path / "file" / "a.bin")


def test_fetch_takes_the_next_mirror_and_only_what_lacks(server, tmp_path, capsys):
    server.files["/good/b.bin"] = b"b"
    server.files["/good/a.bin"] = BODY
    wanted = FileSet(
        name="set",
        title="A set",
        files=(WantedFile("a.bin", SUM), WantedFile("b.bin")),
        layout="a.bin, b.bin",
        source=Source((f"{server.url}/bad", f"{server.url}/good/")),
    )
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "a.bin").write_bytes(b"damaged")
    folder = fetch(wanted, tmp_path)
    assert folder == tmp_path / "set"
    assert set(locate(wanted, tmp_path)) == {"a.bin", "b.bin"}
    asked = len(server.asked)
    fetch(wanted, tmp_path)
    assert len(server.asked) == asked
    assert "a.bin" in capsys.readouterr().out


def archive(names, prefix="birds-main/"):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as content:
        content.writestr("birds-main/README.md", "read me")
        content.writestr("../evil.txt", "no")
        for name in names:
            content.writestr(prefix + name, f"song of {name}")
    return packed.getvalue()


def test_fetch_unpacks_the_wanted_files_of_an_archive(server, tmp_path):
    files = (WantedFile("songs/1.txt"), WantedFile("songs/2.txt"))
    made = {file.name: tmp_path / "made" / file.name for file in files}
    for name, path in made.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"song of {name}")
    wanted = FileSet(
        name="birds",
        title="Bird songs",
        files=files,
        layout="songs/{1,2}.txt",
        digest=tree_digest(made),
        source=Source((f"{server.url}/birds.zip",), archive=True),
    )
    server.files["/birds.zip"] = archive(["songs/1.txt", "songs/2.txt", "songs/3.txt"])
    fetch(wanted, tmp_path / "root", show_progress=False)
    found = sorted(str(path.relative_to(tmp_path / "root")) for path in (tmp_path / "root").rglob("*.*"))
    assert found == ["birds/songs/1.txt", "birds/songs/2.txt"]
    fetch(wanted, tmp_path / "root", show_progress=False)
    assert len(server.asked) == 1
    (tmp_path / "root/birds/songs/1.txt").write_text("damaged")
    fetch(wanted, tmp_path / "root", show_progress=False)
    assert (tmp_path / "root/birds/songs/1.txt").read_text() == "song of songs/1.txt"

    server.files["/birds.zip"] = archive(["songs/1.txt"])
    with pytest.raises(DataError, match=r"the archive lacks 1 files, among them songs/2\.txt"):
        fetch(wanted, tmp_path / "other", show_progress=False)
    server.files["/birds.zip"] = b"no archive"
    with pytest.raises(DataError, match="the downloaded archive cannot be read"):
        fetch(wanted, tmp_path / "third", show_progress=False)


def test_a_set_without_an_address(tmp_path):
    wanted = FileSet(name="set", title="A set", files=(WantedFile("a"),), layout="a")
    with pytest.raises(DataError, match="A set has no public address.*\n.*put a into"):
        fetch(wanted, tmp_path)
