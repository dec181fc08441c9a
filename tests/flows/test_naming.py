import json
from pathlib import Path

import pytest

from flows import naming
from flows.home import Home
from flows.steps import RECORD_FILE
from rnnlm.autoconfig import advise
from tests.conftest import lines


def remember(home: Home, name: str, source: str) -> None:
    """Leave the record of a corpus that was ingested."""
    path = home.data / "corpora" / name / "0123" / RECORD_FILE
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"ingredients": {"corpus": {"source": source}}}))


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
