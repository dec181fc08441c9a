import pytest
from sacrebleu.metrics.bleu import BLEU

from rnnlm.audit.diversity import distinct_share, ngram_count, self_bleu
from tests.audit.conftest import story


def test_distinct_shares_count_ngrams_within_texts():
    texts = ["Dark teal, dark red", "dark teal"]
    assert ngram_count(texts, 2) == 4
    assert distinct_share(texts, 1, 100) == 3 / 6
    assert distinct_share(texts, 2, 100) == 3 / 4
    assert distinct_share(texts, 2, 2) == 1.0
    assert distinct_share(["dark"], 2, 100) is None


def test_self_bleu_is_one_for_equal_texts_and_low_for_unrelated_ones():
    same, strange = self_bleu([story(1)] * 5, "word"), self_bleu([*map(story, range(5))], "word")
    assert same == pytest.approx(1.0)
    assert strange < 0.1


def test_self_bleu_falls_as_texts_differ_more():
    alike = [f"the cat sat on the {word} and slept all day" for word in ("mat", "bed", "sofa")]
    mixed = [alike[0], "a dog ran off with the bone at dawn", "no bird sang in the old tall tree"]
    assert self_bleu(alike, "word") > self_bleu(mixed, "word") > 0.0


def test_names_are_compared_by_characters():
    assert self_bleu(["teal", "teak", "team"], "character") > 0.4
    assert self_bleu(["teal"], "character") is None


@pytest.mark.parametrize(("unit", "tokenize"), [("word", "13a"), ("character", "char")])
def test_self_bleu_is_the_mean_of_sacrebleus_sentence_scores(unit, tokenize):
    texts = [story(n % 7)[: 40 + 13 * n] for n in range(12)] + ["a", "the the the the end"]
    bleu = BLEU(effective_order=True, tokenize=tokenize)
    scores = [
        bleu.sentence_score(text, [*texts[:n], *texts[n + 1 :]]).score / 100
        for n, text in enumerate(texts)
    ]
    assert self_bleu(texts, unit) == pytest.approx(sum(scores) / len(scores), abs=1e-12)
