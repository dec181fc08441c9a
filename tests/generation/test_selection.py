"""Test the selection of texts: the likeliest of several, or those whose words are all known."""

import json
from pathlib import Path

import pytest

from rnnlm.audit.words import words_in
from rnnlm.config import override
from rnnlm.errors import GenerationError
from rnnlm.generation.job import generate
from rnnlm.generation.job_folder import MANIFEST_FILE
from rnnlm.generation.manifest import Source
from tests.generation.jobs import CONFIG, run, table

Row = dict[str, object]


def per_character(row: Row) -> float:
    return float(str(row["log_prob_nats"])) / max(1, len(str(row["text"])))


def test_the_likeliest_of_each_group_is_kept(model: Path, tmp_path: Path):
    run(model, tmp_path / "all", count=80)
    kept = run(model, tmp_path / "best", count=20, best_of=4)
    drawn = table(tmp_path / "all")
    expected = [max(drawn[n : n + 4], key=per_character) for n in range(0, 80, 4)]
    assert table(tmp_path / "best") == expected
    assert kept.drawn <= 80
    assert "best of" in (tmp_path / "best" / "README.md").read_text()


@pytest.mark.parametrize("shard_size", [7, 10, 100])
def test_the_choice_depends_neither_on_the_count_nor_on_shards(
    model: Path, tmp_path: Path, shard_size: int
):
    run(model, tmp_path / "many", count=40, best_of=3)
    run(model, tmp_path / "few", count=11, best_of=3, shard_size=shard_size)
    assert table(tmp_path / "few") == table(tmp_path / "many")[:11]


def test_each_prefix_has_its_own_group(model: Path, tmp_path: Path):
    (tmp_path / "prefixes").write_text("a\nb\nc\n")
    config = override(CONFIG, {"count": 9, "best_of": 5})
    generate(model, config, tmp_path / "out", "text", prefixes=tmp_path / "prefixes")
    rows = table(tmp_path / "out")
    assert [str(row["text"])[0] for row in rows] == [*"abcabcabc"]
    assert [row["prefix"] for row in rows] == [*"abcabcabc"]


def test_a_refused_text_does_not_represent_its_group(model: Path, tmp_path: Path):
    run(model, tmp_path / "all", count=400)
    run(model, tmp_path / "best", count=20, best_of=4, required=("a",))
    drawn = table(tmp_path / "all")
    groups = (drawn[n : n + 4] for n in range(0, 400, 4))
    passing = ([row for row in group if "a" in str(row["text"])] for group in groups)
    expected = [max(rows, key=per_character) for rows in passing if rows]
    assert table(tmp_path / "best") == expected[:20]


def test_known_words_only_refuses_unknown_words(model: Path, source: Source, tmp_path: Path):
    config = override(CONFIG, {"count": 60, "known_words_only": True})
    data_set = generate(model, config, tmp_path / "out", "text", source=source)
    corpus = (tmp_path / "corpus.txt").read_text()
    known = {*words_in(corpus)}
    texts = [str(row["text"]) for row in table(tmp_path / "out")]
    assert len(texts) == 60
    assert all(word in known for text in texts for word in words_in(text))
    assert data_set.drawn > 60
    assert data_set.audit.generated.existing_word_share == 1.0


def test_known_words_only_needs_the_training_text(model: Path, tmp_path: Path):
    with pytest.raises(GenerationError, match="known_words_only needs the training text"):
        run(model, tmp_path / "out", known_words_only=True)


def test_defaults_of_newer_settings_do_not_change_a_job(model: Path, tmp_path: Path):
    run(model, tmp_path / "out", count=3)
    job = json.loads((tmp_path / "out" / MANIFEST_FILE).read_text())["job"]
    assert not {"best_of", "known_words_only"} & {*job["generation"]}
