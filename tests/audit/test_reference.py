import shutil
from pathlib import Path

import numpy as np
import pytest

from rnnlm import checkpoint
from rnnlm.audit.novelty import RUN
from rnnlm.audit.reference import FACTS_FILE, Reference, build_reference
from rnnlm.corpora.documents import iter_texts
from rnnlm.dataset import from_texts
from rnnlm.errors import CheckpointError, GenerationError
from rnnlm.models import build
from tests.audit.conftest import TOKENIZER, story
from tests.conftest import ingest_text, lines, tiny_experiment


def test_held_out_texts_are_those_of_the_validation_split(tmp_path: Path):
    (tmp_path / "c.txt").write_text(lines(40))
    corpus = ingest_text(tmp_path / "c.txt", tmp_path / "documents", documents="lines")
    reference = build_reference(corpus.uri, corpus.digest, "color", TOKENIZER, tmp_path / "r")
    assert sorted(reference.held_out) == sorted(iter_texts(corpus.uri, "validation"))
    assert reference.facts.documents == corpus.documents["train"] == len(reference.colors)
    assert reference.facts.unit == "character"


def test_a_reference_is_built_once_and_rebuilt_for_another_corpus(colors, tmp_path: Path):
    shutil.copytree(colors[0].folder, tmp_path / "r")
    corpus = colors[0].folder.parent / "documents"
    before = (tmp_path / "r" / FACTS_FILE).stat().st_mtime_ns
    digest = colors[0].facts.digest
    ingested = ingest_text(
        colors[0].folder.parent / "corpus.txt", tmp_path / "d", documents="lines"
    )
    again = build_reference(str(corpus), ingested.digest, "color", TOKENIZER, tmp_path / "r")
    assert (tmp_path / "r" / FACTS_FILE).stat().st_mtime_ns == before
    assert again.facts.digest == digest
    other = build_reference(str(corpus), "another", "color", TOKENIZER, tmp_path / "r")
    assert other.facts.digest != digest


def test_a_missing_reference_is_a_clear_error(tmp_path: Path):
    with pytest.raises(GenerationError, match="no complete reference"):
        Reference.open(tmp_path)


def test_a_long_passage_of_a_training_text_is_a_copy(stories):
    reference, training = stories
    whole, other = training[4], training[5]
    copies = [whole, whole.upper(), whole[:300], whole[100:200], f" {whole[-RUN:]}\n", whole[:RUN]]
    assert reference.copies(copies).all()
    new = [whole[: RUN - 1], whole[:200].upper(), whole[-30:] + other[:30], story(998), "", " \n"]
    assert not reference.copies(new).any()
    assert reference.copies([new[0], copies[2], new[3]]).tolist() == [False, True, False]


def test_part_of_a_colour_name_is_not_a_copy(tmp_path: Path):
    name = "a long name for a colour of the evening"
    (tmp_path / "c.txt").write_text(f"{name} 1 2 3\n" + lines(40))
    corpus = ingest_text(tmp_path / "c.txt", tmp_path / "documents", documents="lines")
    assert f"{name} 1 2 3" in {*iter_texts(corpus.uri, "train")}
    reference = build_reference(corpus.uri, corpus.digest, "color", TOKENIZER, tmp_path / "r")
    texts = [f"{name} 9 9 9", f"{name[:-8]} 9 9 9"]
    assert reference.copies(texts).tolist() == [True, False]


def test_real_texts_are_likelier_than_noise(stories):
    reference, _ = stories
    noise = ["".join(np.random.default_rng(n).permutation([*story(n)])) for n in range(20)]
    real = reference.judge.score(reference.held_out).bits_per_character
    assert real < 0.8 * reference.judge.score(noise).bits_per_character


def test_a_fitted_ngram_model_is_used_unchanged(tmp_path: Path, stories):
    corpus = str(stories[0].folder.parent / "documents")
    experiment = tiny_experiment(model={"architecture": "ngram", "ngram_order": 2})
    model = build(experiment.model, TOKENIZER.vocab_size)
    model.fit(from_texts(TOKENIZER, ["abab", "abba"]))
    path = tmp_path / "ngram.safetensors"
    checkpoint.save(path, model, TOKENIZER, experiment, {})
    reference = build_reference(corpus, "x", "prose", TOKENIZER, tmp_path / "r", path)
    judge = reference.judge
    assert judge.score(["abab"]).nll_nats < judge.score(["bbbb"]).nll_nats
    assert judge.score(["abab"]).nll_nats < judge.score(["dede"]).nll_nats

    other = tiny_experiment()
    checkpoint.save(path, build(other.model, TOKENIZER.vocab_size), TOKENIZER, other, {})
    with pytest.raises(CheckpointError, match="expected an n-gram model"):
        build_reference(corpus, "x", "prose", TOKENIZER, tmp_path / "r2", path)
