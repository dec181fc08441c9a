"""Test archives of files: the same bytes each time, and nothing unpacked that does not belong."""

import json
import re
import zipfile
import zlib
from pathlib import Path

import pytest

from rnnlm import archive
from rnnlm.archive import MANIFEST, Archive
from rnnlm.checksums import sealed
from rnnlm.errors import DamagedFileError
from rnnlm.storage import file_digest

NAMES = re.compile(r"[a-z]+\.(json|bin)|pages/[a-z]+\.html")
FILES = {"a.json": b'{"x": 1}', "b.bin": bytes(range(256)) * 5000, "pages/c.html": b"<p>" * 9000}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    archive.write(tmp_path / "x.zip", "test-1", FILES)
    return tmp_path / "x.zip"


def open_it(path: Path) -> Archive:
    return Archive.open(path, "test-1", NAMES)


def rewrite(path: Path, **changed: bytes | None) -> None:
    """Replace, remove or add members; the manifest stays unless it is among them."""
    with zipfile.ZipFile(path) as old:
        members = {name: old.read(name) for name in old.namelist()}
    members.update({k.replace("__", "/").replace("_", "."): v for k, v in changed.items()})
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for name, content in members.items():
            if content is not None:
                new.writestr(name, content)


def manifest(files: dict, form: str = "test-1") -> bytes:
    return json.dumps(sealed({"format": form, "files": files})).encode()


def test_unpacking_gives_the_files_that_were_packed(path: Path, tmp_path: Path):
    open_it(path).unpack(tmp_path / "out")
    found = {p.relative_to(tmp_path / "out").as_posix(): p for p in (tmp_path / "out").rglob("*")}
    assert {name: p.read_bytes() for name, p in found.items() if p.is_file()} == FILES
    assert open_it(path).read("a.json", dict[str, int]) == {"x": 1}


def test_the_same_files_give_the_same_bytes(path: Path, tmp_path: Path):
    source = tmp_path / "b"
    source.write_bytes(FILES["b.bin"])
    archive.write(tmp_path / "y.zip", "test-1", {**dict(reversed(FILES.items())), "b.bin": source})
    assert file_digest(path) == file_digest(tmp_path / "y.zip")


@pytest.mark.parametrize(
    "changed",
    [
        {"a_json": b'{"x": 2}'},
        {"b_bin": b"short"},
        {"b_bin": FILES["b.bin"] + b"!"},
        {"a_json": None},
        {"manifest_json": None},
        {"manifest_json": b"[]"},
        {"manifest_json": b'{"format": "test-1"}'},
    ],
)
def test_a_changed_archive_is_refused(path: Path, tmp_path: Path, changed: dict):
    rewrite(path, **changed)
    with pytest.raises(DamagedFileError, match="damaged"):
        open_it(path).unpack(tmp_path / "out")


def test_every_flipped_byte_is_noticed_or_harmless(path: Path, tmp_path: Path):
    whole = path.read_bytes()
    for at in range(0, len(whole), len(whole) // 60):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x40]) + whole[at + 1 :])
        out = tmp_path / str(at)
        try:
            open_it(path).unpack(out)
        except DamagedFileError:
            continue
        assert {p.name: p.read_bytes() for p in out.rglob("*.*")} == {
            Path(name).name: content for name, content in FILES.items()
        }


@pytest.mark.parametrize("name", ["../a.json", "/a.json", "pages/../../a.html", "c.py", "x" * 400])
def test_a_name_that_does_not_belong_is_refused(path: Path, name: str):
    content = b"import os"
    listed = {name: {"bytes": len(content), "sha256": "0" * 64}}
    with zipfile.ZipFile(path, "w") as new:
        new.writestr(name, content)
        new.writestr(MANIFEST, manifest(listed))
    with pytest.raises(DamagedFileError, match="does not belong"):
        open_it(path)


def test_files_that_are_not_listed_are_not_unpacked(path: Path, tmp_path: Path):
    rewrite(path, evil_bin=b"x")
    open_it(path).unpack(tmp_path / "out")
    assert not (tmp_path / "out" / "evil.bin").exists()


def test_a_bomb_is_unpacked_only_up_to_its_listed_size(path: Path, tmp_path: Path):
    listed = {"b.bin": {"bytes": 10, "sha256": "0" * 64}}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        new.writestr("b.bin", bytes(200_000_000))
        new.writestr(MANIFEST, manifest(listed))
    with pytest.raises(DamagedFileError, match="more than its 10 bytes"):
        open_it(path).unpack(tmp_path / "out")
    assert [*(tmp_path / "out").iterdir()] == []


def test_an_archive_that_lists_too_many_bytes_is_refused(path: Path):
    rewrite(path, manifest_json=manifest({"b.bin": {"bytes": 10**15, "sha256": "0" * 64}}))
    with pytest.raises(DamagedFileError, match="expected at most"):
        open_it(path)


def test_another_format_is_refused_with_both_names(path: Path):
    with pytest.raises(DamagedFileError, match=r"'test-1' \(expected test-2\)"):
        Archive.open(path, "test-2", NAMES)


def test_a_file_that_is_no_archive_is_refused(tmp_path: Path):
    for content in (b"", b"PK\x05\x06", zlib.compress(b"x" * 1000)):
        (tmp_path / "x.zip").write_bytes(content)
        with pytest.raises(DamagedFileError, match="damaged or no archive"):
            open_it(tmp_path / "x.zip")
    with pytest.raises(DamagedFileError, match="no file"):
        open_it(tmp_path / "nothing.zip")
