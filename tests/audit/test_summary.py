import json
from pathlib import Path

import numpy as np
import pytest

from rnnlm import overlap
from rnnlm.audit.measures import measures
from rnnlm.audit.reference import Reference, build_reference
from rnnlm.audit.summary import ShardAudit, audit_shard, conclude, merge, sample_size
from tests.audit.conftest import TOKENIZER, reference_of, story


def audited(texts: list[str], reference: Reference | None, sample: int = 1000, form: str = "prose"):
    return audit_shard(texts, np.ones(len(texts), np.bool_), form, reference, sample)


def test_shards_add_up_to_the_whole(stories):
    reference, training = stories
    texts = [*training[:7], *map(story, range(500, 520)), "no end", ""]
    whole = audited(texts, reference)
    for size in (1, 4, 10):
        parts = [audited(texts[n : n + size], reference) for n in range(0, len(texts), size)]
        total = merge([ShardAudit.model_validate_json(part.model_dump_json()) for part in parts])
        assert total.nll_nats == pytest.approx(whole.nll_nats, rel=1e-12)
        assert total.model_copy(update={"nll_nats": whole.nll_nats}) == whole
        found, expected = (conclude(record, "prose", reference) for record in (total, whole))
        assert found.generated.bits_per_character == pytest.approx(
            expected.generated.bits_per_character
        )
        assert found.length_counts == expected.length_counts
        assert found.invalid_examples == expected.invalid_examples == ("no end", "")


def test_figures_match_the_planted_texts(stories):
    reference, training = stories
    near = training[9].split()
    near[30] = "xyz"
    texts = [*training[:4], " ".join(near), *map(story, range(500, 514)), "no end"]
    complete = np.arange(len(texts)) > 4
    record = audit_shard(texts, complete, "prose", reference, len(texts))
    audit = conclude(record, "prose", reference, duplicates=5)
    assert audit.generated.valid_share == 19 / 20
    assert audit.generated.complete_share == 15 / 20
    assert audit.generated.copied_share == 4 / 20
    assert audit.generated.near_copied_share == 1 / 20
    assert audit.duplicate_share == 5 / 20
    assert audit.invalid_examples == ("no end",)
    assert audit.copied_examples == tuple(training[:4])
    longest = audit.generated.longest_run_characters["100%"]
    assert longest == pytest.approx(max(map(len, training[:4])), rel=1 / 30)
    assert audit.held_out.copied_share == 0.0
    assert audit.held_out.longest_run_characters["100%"] < 50


def test_copied_texts_are_known_and_taken_in_full(stories):
    reference, training = stories
    figures = conclude(audited(training, reference), "prose", reference).generated
    assert figures.taken_share == 1.0
    assert {*figures.known_ngram_share.values()} == {1.0}
    real = conclude(audited(training, reference), "prose", reference).held_out
    assert real.taken_share < 0.5
    assert real.known_ngram_share[8] < 0.1


def test_texts_that_a_base_has_read_are_found(tmp_path: Path):
    read_before = [story(seed, words=200) for seed in range(700, 760)]
    plain, uri = reference_of("".join(story(seed) + "\n" for seed in range(60)), "prose", tmp_path)
    known = build_reference(
        uri, "x", "prose", TOKENIZER, tmp_path / "known", base=overlap.sample(read_before)
    )
    texts = [*read_before[:30], *(story(seed, words=200) for seed in range(800, 830))]
    found = conclude(audited(texts, known), "prose", known).generated.base_share
    assert found == pytest.approx(0.5, abs=0.05)
    assert conclude(audited(texts, plain), "prose", plain).generated.base_share is None


def test_only_the_sample_is_examined_closely(stories):
    reference, training = stories
    record = audited([story(600), *training], reference, sample=1)
    assert record.sample == (story(600),)
    assert record.copied == len(training)
    assert record.near_copied == 0
    assert sum(record.longest_runs.values()) == 1
    assert sum(record.lengths.values()) == len(training) + 1


def test_only_the_name_of_a_colour_is_compared(colors):
    reference, training = colors
    name = training[0].rsplit(" ", 3)[0]
    record = audited([f"{name} 1 2 3", "green-ish 300 1 1"], reference, form="color")
    assert (record.copied, record.valid) == (1, 1)
    assert record.longest_runs[len(name)] == 1
    assert [color.name for color in record.colors] == [name]


def test_without_a_reference_only_the_independent_figures_are_known():
    audit = conclude(merge([audited(["A b.", "c"], None)] * 2), "prose", None)
    assert audit.generated.valid_share == 0.5
    assert audit.generated.length_characters["100%"] == 4
    assert audit.generated.copied_share is None
    assert audit.held_out is None


def test_records_and_audits_survive_json(stories):
    reference, training = stories
    audit = conclude(audited(training[:5], reference), "prose", reference)
    assert type(audit).model_validate(json.loads(audit.model_dump_json())) == audit


def test_every_figure_has_a_measure(stories):
    reference, training = stories
    audit = conclude(audited(training[:5], reference), "prose", reference)
    named = [measure.name for measure in measures(audit)]
    assert len(named) == len({*named}) == 13 + 3 + 3
    assert all(measure.read(audit.generated) for measure in measures(audit))


@pytest.mark.parametrize(
    ("texts", "shards", "sample"),
    [(100, 1, 100), (10_000, 1, 2000), (10**6, 100, 20), (10**7, 10**4, 1)],
)
def test_about_two_thousand_texts_are_sampled(texts: int, shards: int, sample: int):
    assert sample_size(texts, shards) == sample
