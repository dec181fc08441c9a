import json
from pathlib import Path

import pytest

from flows.chain.records import RECORD_FILE
from flows.commands import naming
from flows.runtime.home import Home
from rnnlm.autoconfig import advise
from tests.conftest import lines


def remember(home: Home, name: str, *sources: str) -> None:
    """Write the record of a corpus that was ingested from one source or from several."""
    path = home.data / "corpora" / name / "0123" / RECORD_FILE
    path.parent.mkdir(parents=True)
    corpus = {"source": sources[0]} if len(sources) == 1 else {"source": ""}
    corpus |= {"sources": [{"path": source} for source in sources[len(sources) == 1 :]]}
    record = {"step": "ingest", "version": 4, "files": {}, "result": {}}
    path.write_text(json.dumps({**record, "ingredients": {"corpus": corpus}}))


def test_two_files_of_one_name_become_two_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("first", "second"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "book.txt").write_text(lines(200))
    home = Home(tmp_path)

    def name_of(source: str) -> str:
        advice = advise(source, tmp_path / "cache", ("training.base=none",))
        return naming.distinct(home, advice, source).experiment.name

    assert name_of("first/book.txt") == "book"
    remember(home, "book", "first/book.txt")
    assert name_of("first/book.txt") == name_of(str(Path("first/book.txt").resolve())) == "book"
    assert name_of("second/book.txt") == "second-book"
    remember(home, "second-book", "elsewhere/second/book.txt")
    assert name_of("second/book.txt").startswith("book-")


def test_folders_of_one_name_with_a_published_split_become_two_models(tmp_path: Path):
    home = Home(tmp_path)
    names = []
    for parent in ("first", "second"):
        folder = tmp_path / parent / "texts"
        folder.mkdir(parents=True)
        for split, count in (("train", 200), ("valid", 30), ("test", 30)):
            (folder / f"{split}.txt").write_text(lines(count))
        advice = advise(str(folder), tmp_path / "cache", ("training.base=none",))
        names.append(naming.distinct(home, advice, str(folder)).experiment.name)
        remember(home, names[-1], *(str(folder / f"{split}.txt") for split in ("train", "valid")))
    assert names == ["texts", "second-texts"]
