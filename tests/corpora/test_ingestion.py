from pathlib import Path

import pytest

from rnnlm.config import CorpusConfig, SplitConfig
from rnnlm.corpora.catalog import CATALOG
from rnnlm.corpora.ingestion import ingest, read_documents, read_text
from rnnlm.corpora.splitting import SPLITS
from rnnlm.errors import CorpusError, EmptySplitError
from rnnlm.generation.forms import parse_color
from tests.conftest import lines

SPLIT = SplitConfig(validation=0.2, test=0.2)


def test_every_document_is_in_one_split_once(tmp_path: Path):
    (tmp_path / "text").write_text(lines(300))
    corpus = ingest(CorpusConfig(source=str(tmp_path / "text")), SPLIT, tmp_path / "out")
    documents = [text for split in SPLITS for text in read_documents(corpus.uri, split)]
    assert sorted(documents) == sorted(lines(300).splitlines())
    assert sum(corpus.documents.values()) == 300
    assert sum(corpus.characters.values()) == len(lines(300)) - 300


def test_an_added_line_moves_no_other(tmp_path: Path):
    (tmp_path / "text").write_text(lines(300))
    before = ingest(CorpusConfig(source=str(tmp_path / "text")), SPLIT, tmp_path / "before")
    (tmp_path / "text").write_text("a new first line 1 2 3\n" + lines(300))
    after = ingest(CorpusConfig(source=str(tmp_path / "text")), SPLIT, tmp_path / "after")
    assert before.digest != after.digest
    for split in SPLITS:
        assert {*read_documents(before.uri, split)} <= {*read_documents(after.uri, split)}


def test_repeated_documents_share_a_split_and_are_counted(tmp_path: Path):
    (tmp_path / "text").write_text(lines(100) * 2)
    corpus = ingest(CorpusConfig(source=str(tmp_path / "text")), SPLIT, tmp_path / "out")
    sets = [{*read_documents(corpus.uri, split)} for split in SPLITS]
    assert corpus.repeated == 100
    assert not (sets[0] & sets[1] or sets[0] & sets[2] or sets[1] & sets[2])


def test_one_changed_byte_changes_the_digest(tmp_path: Path):
    (tmp_path / "text").write_text(lines(100))
    one = ingest(CorpusConfig(source=str(tmp_path / "text")), SPLIT, tmp_path / "one")
    (tmp_path / "text").write_text(lines(100).replace("red", "rad", 1))
    two = ingest(CorpusConfig(source=str(tmp_path / "text")), SPLIT, tmp_path / "two")
    assert one.digest != two.digest


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"no file .*the catalog knows: colors-demo"),
        (b"", r"is empty \(0 bytes"),
        (b"\n \n\t\n", "is empty"),
        (b"aaaaaaaaaa\naaaa", "one character only, 'a'"),
        (b"\x00\x01\x02", "is no text: tried utf-8"),
    ],
)
def test_a_bad_source_is_one_line_that_says_what_it_is(
    tmp_path: Path, content: bytes | None, message: str
):
    path = tmp_path / "bad.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CorpusError, match=message) as caught:
        read_text(CorpusConfig(source=str(path)))
    assert "\n" not in str(caught.value)


def test_a_directory_is_no_source(tmp_path: Path):
    with pytest.raises(CorpusError, match="is a directory"):
        read_text(CorpusConfig(source=str(tmp_path)))


def test_an_empty_split_is_an_error_and_leaves_no_file(tmp_path: Path):
    (tmp_path / "text").write_text("one line\nanother line\n")
    with pytest.raises(EmptySplitError, match="2 documents in all"):
        ingest(CorpusConfig(source=str(tmp_path / "text")), SPLIT, tmp_path / "out")
    assert not [*(tmp_path / "out").iterdir()]


def test_the_catalog_colours_are_the_949_of_the_survey():
    colors = CATALOG["colors-demo"].read().splitlines()
    assert len(colors) == 949
    assert all(parse_color(color) for color in colors)
    assert "cloudy blue 172 194 217" in colors
