"""Hostile or damaged archives and compressed files are refused in one line, and leave no files."""

import bz2
import gzip
import io
import lzma
import os
import struct
import warnings
import zipfile
from pathlib import Path

import pyarrow as pa
import pytest

from rnnlm.config import CorpusConfig, SplitConfig
from rnnlm.corpora import unpacking
from rnnlm.corpora.files import SourceFile, locate
from rnnlm.corpora.ingestion import ingest
from rnnlm.corpora.preview import look, unpacked
from rnnlm.corpora.unpacking import unpack
from rnnlm.errors import CorpusError

TEXT = b"one line\nanother line\n" * 50


def packed(path: Path, members: dict[str, bytes], how: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", how) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def refusal(path: Path) -> str:
    """Return the message with which a file is refused, after checking that nothing is left."""
    scratch = path.parent / "scratch"
    with pytest.raises(CorpusError) as caught:
        list(unpack(locate(CorpusConfig(source=str(path)), path.parent / "cache"), scratch))
    assert not [p for p in scratch.rglob("*") if p.is_file()]
    message = str(caught.value)
    assert "\n" not in message
    assert path.name in message
    assert len(message) < 500
    return message


@pytest.mark.parametrize("suffix", ["zip", "gz", "bz2", "zst"])
def test_a_bomb_is_refused_by_its_ratio(tmp_path: Path, suffix: str):
    zeros = bytes(unpacking.UNSUSPECTED_BYTES + (1 << 20))
    path = tmp_path / f"bomb.{suffix}"
    if suffix == "zip":
        packed(path, {"zeros.txt": zeros})
    else:
        compressors = {
            "gz": gzip.compress,
            "bz2": bz2.compress,
            "zst": lambda data: pa.compress(data, "zstd", asbytes=True),
        }
        path.write_bytes(compressors[suffix](zeros))
    assert "200 times as many" in refusal(path)


def test_a_bomb_that_lies_about_its_size_is_broken_and_leaves_nothing(tmp_path: Path):
    path = packed(tmp_path / "x.zip", {"a.txt": bytes(10_000_000)})
    data = path.read_bytes().replace(struct.pack("<L", 10_000_000), struct.pack("<L", 1000))
    path.write_bytes(data)
    assert "cut short or broken" in refusal(path)


def test_too_many_bytes_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(unpacking, "MOST_BYTES", 100_000)
    path = packed(tmp_path / "x.zip", {f"{n}.txt": os.urandom(60_000) for n in range(2)})
    assert "expected at most 100,000" in refusal(path)


def test_too_many_members_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = packed(tmp_path / "x.zip", {f"{n}.txt": b"x" for n in range(60)})
    with monkeypatch.context() as patch:
        patch.setattr(unpacking, "MOST_MEMBERS", 50)
        assert "60 files (expected at most 50)" in refusal(path)
    monkeypatch.setattr(unpacking, "MOST_DIRECTORY_BYTES", 1000)
    assert "list of members of" in refusal(path)


@pytest.mark.parametrize("inner", ["b.zip", "deep/b.GZ", "c.tar", "d.7z"])
def test_an_archive_in_an_archive_is_refused(tmp_path: Path, inner: str):
    nested = io.BytesIO()
    with zipfile.ZipFile(nested, "w") as archive:
        archive.writestr("a.txt", TEXT)
    path = packed(tmp_path / "x.zip", {"a.txt": TEXT, inner: nested.getvalue()})
    assert "holds another packed file" in refusal(path)


def test_a_compressed_file_in_a_compressed_file_is_refused(tmp_path: Path):
    (tmp_path / "x.txt.gz.gz").write_bytes(gzip.compress(gzip.compress(TEXT)))
    assert "holds another packed file" in refusal(tmp_path / "x.txt.gz.gz")


def test_a_repeated_name_is_refused(tmp_path: Path):
    with warnings.catch_warnings(), zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        warnings.simplefilter("ignore")
        archive.writestr("a.txt", b"what one program shows")
        archive.writestr("a.txt", b"what another program reads")
    assert "holds 2 files named 'a.txt'" in refusal(tmp_path / "x.zip")


@pytest.mark.parametrize("name", [".", "./.", "a" * 300, "a/" * 2000 + "b"])
def test_a_name_that_no_file_can_have_is_refused(tmp_path: Path, name: str):
    assert "expected the path of a file" in refusal(packed(tmp_path / "x.zip", {name: TEXT}))


def test_names_that_are_also_folders_or_differ_by_case_are_all_read(tmp_path: Path):
    path = packed(tmp_path / "x.zip", {"a": b"first\n", "a/b": b"second\n", "A": b"third\n"})
    files = unpack(locate(CorpusConfig(source=str(path)), tmp_path), tmp_path / "scratch")
    assert sorted(file.path.read_text() for file in files) == ["first\n", "second\n", "third\n"]


@pytest.mark.parametrize("method", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2, zipfile.ZIP_DEFLATED])
def test_a_damaged_member_is_refused_in_one_line(tmp_path: Path, method: int):
    path = packed(tmp_path / "x.zip", {"a.txt": os.urandom(5000)}, method)
    data = bytearray(path.read_bytes())
    data[100:160] = b"\xff" * 60
    path.write_bytes(data)
    assert "cut short or broken" in refusal(path)


def test_a_member_name_that_is_not_text_is_refused_in_one_line(tmp_path: Path):
    path = packed(tmp_path / "x.zip", {"é.txt": TEXT})
    path.write_bytes(path.read_bytes().replace("é".encode(), b"\xff\xff"))
    assert "cut short or broken" in refusal(path)


def test_an_xz_file_is_refused_as_not_text(tmp_path: Path):
    (tmp_path / "x.txt.xz").write_bytes(lzma.compress(TEXT))
    with pytest.raises(CorpusError, match="is not text"):
        list(unpack([SourceFile.of(tmp_path / "x.txt.xz", _source(tmp_path))], tmp_path / "s"))


def _source(tmp_path: Path):  # type: ignore[no-untyped-def]
    return CorpusConfig(source=str(tmp_path / "x.txt.xz")).all_sources[0]


def test_an_archive_is_unpacked_once_for_the_preview_and_the_corpus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    content = "".join(f"this is line {n}, one of many\n" for n in range(300)).encode()
    path = packed(tmp_path / "x.zip", {"a.txt": content})
    config = CorpusConfig(source=str(path), documents="lines")
    cache, out = tmp_path / "cache", tmp_path / "out"
    look(config, cache)
    monkeypatch.setattr(unpacking, "_copy", None)  # a second unpacking would fail
    splits = SplitConfig(validation=0.2, test=0.2)
    corpus = ingest(locate(config, cache), config, splits, out, unpacked=unpacked(cache))
    assert sum(corpus.documents.values()) == 300
    assert not [*unpacked(cache).iterdir()]
    assert not (out / "unpacked").exists()
