"""How much texts repeat one another: distinct n-grams, and BLEU against each other."""

from collections.abc import Iterator, Sequence
from itertools import chain, islice

from rnnlm.audit.novelty import WORD, Unit

DISTINCT_ORDERS = (1, 2, 3)
"""Lengths n of the n-grams of words whose distinct share is given."""
SELF_BLEU_TEXTS = 100
SELF_BLEU_CHARACTERS = 1000
"""Texts that are compared with each other, the first ones, and the beginning of each that is."""


def words_in(text: str) -> list[str]:
    """Return the runs of letters and digits in a text, in lower case."""
    return WORD.findall(text.lower())


def ngram_count(texts: Sequence[str], n: int) -> int:
    """Return how many n-grams of words the texts have; none reaches from one to the next."""
    return sum(max(0, len(words_in(text)) - n + 1) for text in texts)


def distinct_share(texts: Sequence[str], n: int, most: int) -> float | None:
    """Return the share of distinct ones among the first `most` n-grams of words of some texts.

    The share falls with the size of the sample: compare samples of equally many n-grams. None where
    there are none.

    Source: distinct-n of Li et al. 2016, "A diversity-promoting objective function for neural
    conversation models", section 5.
    """
    ngrams = [*islice(chain.from_iterable(_ngrams(words_in(text), n) for text in texts), most)]
    return len(set(ngrams)) / len(ngrams) if ngrams else None


def self_bleu(texts: Sequence[str], unit: Unit) -> float | None:
    """Return the mean BLEU of each of the first texts with all others as references, 0 to 1.

    By n-grams of 1 to 4 words, or characters; 1 if all texts are the same. None of fewer than two.

    Source: Zhu et al. 2018, "Texygen", section 3; BLEU as sacrebleu computes it (Post 2018), with
    exponential smoothing, and only as long n-grams as a text has.
    """
    from sacrebleu.metrics.bleu import BLEU  # noqa: PLC0415 - heavy

    shown = [text[:SELF_BLEU_CHARACTERS] for text in texts[:SELF_BLEU_TEXTS] if text.strip()]
    if len(shown) < 2:
        return None
    bleu = BLEU(effective_order=True, tokenize="char" if unit == "character" else "13a")
    scores = [
        bleu.sentence_score(text, [*shown[:number], *shown[number + 1 :]]).score
        for number, text in enumerate(shown)
    ]
    return sum(scores) / len(scores) / 100.0


def _ngrams(words: list[str], n: int) -> Iterator[tuple[str, ...]]:
    return zip(*(words[start:] for start in range(n)), strict=False)
