"""Test stages: what their results depend on, what `--plan` shows, and how a class adds a stage."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from flows.chain import records
from flows.chain.ingest import Ingest, source_digest
from flows.chain.plan import plan
from flows.chain.stage import RecordedStage, Run
from flows.chain.stages import CHAIN
from flows.chain.tokenize import Tokenize
from flows.retrain import take
from flows.runtime import reporting
from flows.runtime.home import Home
from rnnlm.errors import CorpusError
from rnnlm.progress import OnProgress
from rnnlm.storage import write_bytes
from tests.conftest import lines, tiny_experiment
from tests.damage import flip_bit


def run_of(text: Path, home: Home, **corpus: Any) -> Run:
    corpus = {"source": str(text), "attributes": ["file"], "documents": "lines", **corpus}
    return Run(home, tiny_experiment(corpus=corpus))


def ingested(text: Path, home: Home, **corpus: Any) -> Run:
    run = run_of(text, home, **corpus)
    take(run, [Ingest()])
    return run


def test_a_condition_changes_the_tokens_but_not_the_documents(tmp_path: Path):
    (tmp_path / "text").write_text(lines(100))
    home = Home(tmp_path)
    plain = ingested(tmp_path / "text", home)
    conditioned = ingested(tmp_path / "text", home, condition=["file"])
    assert Ingest().step(plain).key == Ingest().step(conditioned).key
    assert plain[Ingest] == conditioned[Ingest]
    assert Tokenize().step(plain).key != Tokenize().step(conditioned).key


def test_another_value_of_an_attribute_changes_the_tokens(tmp_path: Path):
    (tmp_path / "text").write_text(lines(100))
    first, second = (
        ingested(
            tmp_path / "text",
            Home(tmp_path),
            attributes=["brand"],
            condition=["brand"],
            fields=fields,
        )
        for fields in ({"brand": "text"}, {"brand": "file"})
    )
    assert Tokenize().step(first).key != Tokenize().step(second).key


def test_a_corpus_records_the_digest_of_its_source_files(tmp_path: Path):
    (tmp_path / "text").write_text(lines(100))
    run = ingested(tmp_path / "text", Home(tmp_path))
    known = Ingest().ingredients(run)["source"]
    (tmp_path / "text").write_text(lines(120))
    assert source_digest(run[Ingest]) == known


def test_a_long_source_that_changed_without_a_new_time_is_refused_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("rnnlm.corpora.files._LONG", 100)
    (tmp_path / "text").write_text(lines(100))
    before = ingested(tmp_path / "text", Home(tmp_path))[Ingest]
    flip_bit(tmp_path / "text", 0.5)
    assert ingested(tmp_path / "text", Home(tmp_path))[Ingest] == before  # it is not read
    with pytest.raises(CorpusError, match="its size and time have not"), records.forced(True):
        ingested(tmp_path / "text", Home(tmp_path))
    assert ingested(tmp_path / "text", Home(tmp_path))[Ingest].digest != before.digest


class Longest(BaseModel):
    """The result of the toy stage below: the longest document of a corpus."""

    uri: str
    characters: int


class FindLongest(RecordedStage[Longest]):
    """A toy stage. A real one is such a class in a separate file, and an entry in `CHAIN`."""

    name = "longest"
    version = 1
    result_type = Longest
    folder = "longest"

    def ingredients(self, run: Run) -> Mapping[str, Any]:
        return {"corpus": run[Ingest].digest}

    def work(self, run: Run, out: Path, tell: OnProgress) -> Longest:
        write_bytes(out / "longest.txt", b"found")
        return Longest(uri=str(out), characters=max(run[Ingest].characters.values()))

    def describe(self, run: Run, result: Longest) -> str:
        return f"{result.characters:,} characters"


def test_a_toy_stage_is_planned_run_described_and_cached(tmp_path: Path):
    (tmp_path / "text").write_text(lines(100))
    home = Home(tmp_path)
    stages = (Ingest(), FindLongest())
    first = plan(run_of(tmp_path / "text", home), stages)
    assert [(s.name, s.cached, s.reason) for s in first] == [
        ("ingest", False, "first time"),
        ("longest", False, "follows ingest"),
    ]
    with reporting.watching(reporting.Reporter()) as reporter:
        run = run_of(tmp_path / "text", home)
        take(run, stages)
    outcome = reporter.outcomes["longest"]
    assert outcome.summary == f"{run[FindLongest].characters:,} characters"
    assert not outcome.cached
    assert all(stage.cached for stage in plan(run_of(tmp_path / "text", home), stages))
    (Path(run[FindLongest].uri) / "longest.txt").write_text("other")
    changed = plan(run_of(tmp_path / "text", home), stages)[1]
    assert (changed.cached, changed.reason) == (False, "longest.txt is damaged")


def test_stages_after_a_missing_one_name_the_first_that_must_run(tmp_path: Path):
    (tmp_path / "text").write_text(lines(100))
    run = run_of(tmp_path / "text", Home(tmp_path))
    planned = plan(run, CHAIN)
    assert [stage.name for stage in planned] == [stage.name for stage in CHAIN]
    assert {stage.reason for stage in planned[1:]} == {"follows ingest"}
