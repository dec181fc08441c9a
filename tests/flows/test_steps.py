from pathlib import Path
from typing import Any

from flows import steps
from flows.home import Home
from rnnlm.corpora.files import locate
from rnnlm.corpora.ingestion import Corpus, ingest
from tests.conftest import lines, tiny_experiment


def made(path: Path, home: Home, **corpus: Any) -> tuple[steps.Step[Any], Corpus, str]:
    """Return the step that ingests, its result, and the key of the step that tokenizes it."""
    corpus = {"source": str(path), "attributes": ["file"], "documents": "lines", **corpus}
    experiment = tiny_experiment(corpus=corpus)
    files = locate(experiment.corpus, home.sources)
    step = steps.ingest(home, experiment, files)
    result = ingest(files, experiment.corpus, experiment.splits, step.folder)
    return step, result, steps.tokenize(home, experiment, result).key


def test_a_condition_makes_other_tokens_of_the_same_documents(tmp_path: Path):
    (tmp_path / "text").write_text(lines(100))
    home = Home(tmp_path)
    plain, documents, tokens = made(tmp_path / "text", home)
    conditioned, same, others = made(tmp_path / "text", home, condition=["file"])
    assert conditioned.key == plain.key
    assert same == documents
    assert others != tokens


def test_another_value_of_an_attribute_makes_other_tokens(tmp_path: Path):
    (tmp_path / "text").write_text(lines(100))
    home = Home(tmp_path)
    first, second = (
        made(tmp_path / "text", home, attributes=["brand"], condition=["brand"], fields=fields)
        for fields in ({}, {"brand": "file"})
    )
    assert first[2] != second[2]


def test_a_corpus_knows_the_files_that_it_was_read_from(tmp_path: Path):
    (tmp_path / "text").write_text(lines(100))
    step, corpus, _ = made(tmp_path / "text", Home(tmp_path))
    step.remember(corpus, 0.1)
    (tmp_path / "text").write_text(lines(120))
    assert steps.source_digest(corpus) == step.ingredients["source"]
