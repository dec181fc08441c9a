"""Measure how diverse texts are: the share of distinct n-grams, and the texts' mutual BLEU."""

from collections.abc import Iterator, Sequence
from itertools import chain, islice

from rnnlm.audit.novelty import WORD, Unit

DISTINCT_ORDERS = (1, 2, 3)
"""The lengths n for which the share of distinct word n-grams is reported."""
SELF_BLEU_TEXTS = 100
SELF_BLEU_CHARACTERS = 1000
"""Most texts that are compared for self-BLEU, and most characters of each text; these are the first
ones."""


def words_in(text: str) -> list[str]:
    """Return the runs of letters and digits in a text, in lower case."""
    return WORD.findall(text.lower())


def ngram_count(texts: Sequence[str], n: int) -> int:
    """Return the number of word n-grams in some texts; no n-gram extends over two texts."""
    return sum(max(0, len(words_in(text)) - n + 1) for text in texts)


def distinct_share(texts: Sequence[str], n: int, most: int) -> float | None:
    """Return the share of distinct n-grams among the first `most` word n-grams of some texts.

    The share falls as the number of n-grams grows, so only compare shares of equally many n-grams.
    Returns None if there are no n-grams.

    Source: distinct-n of Li et al. 2016, "A diversity-promoting objective function for neural
    conversation models", section 5.
    """
    ngrams = [*islice(chain.from_iterable(_ngrams(words_in(text), n) for text in texts), most)]
    return len(set(ngrams)) / len(ngrams) if ngrams else None


def self_bleu(texts: Sequence[str], unit: Unit) -> float | None:
    """Return how similar some texts are to each other, by BLEU.

    The BLEU of each text is computed with the other texts as references; the result is the mean,
    from 0 to 1. It counts n-grams of 1 to 4 words or characters, and is 1 if all texts are the
    same. Returns None for fewer than two texts.

    Args:
        texts: The texts; only the first `SELF_BLEU_TEXTS` are used.
        unit: What n counts: words or characters.

    Source: Zhu et al. 2018, "Texygen", section 3; BLEU as sacrebleu computes it (Post 2018), with
    exponential smoothing and the effective order (no n-grams longer than the text).
    """
    from sacrebleu.metrics.bleu import BLEU  # noqa: PLC0415 - heavy
    from sacrebleu.metrics.helpers import extract_all_word_ngrams  # noqa: PLC0415 - heavy

    shown = [text[:SELF_BLEU_CHARACTERS] for text in texts[:SELF_BLEU_TEXTS] if text.strip()]
    if len(shown) < 2:
        return None
    bleu = BLEU(effective_order=True, tokenize="char" if unit == "character" else "13a")
    orders = bleu.max_ngram_order
    counted = [extract_all_word_ngrams(bleu.tokenizer(one.rstrip()), 1, orders) for one in shown]
    lengths = [length for _, length in counted]
    # The largest count of each n-gram in any text, and in any other text than that one. So all
    # references of a text are looked up at once.
    most: dict[tuple[str, ...], tuple[int, int, int]] = {}
    for number, (ngrams, _) in enumerate(counted):
        for ngram, count in ngrams.items():
            largest, second, holder = most.get(ngram, (0, 0, -1))
            if count > largest:
                most[ngram] = count, largest, number
            elif count > second:
                most[ngram] = largest, count, holder
    total_score = 0.0
    for number, (ngrams, length) in enumerate(counted):
        correct, total = [0] * orders, [0] * orders
        for ngram, count in ngrams.items():
            largest, second, holder = most[ngram]
            total[len(ngram) - 1] += count
            correct[len(ngram) - 1] += min(count, second if holder == number else largest)
        others = [*lengths[:number], *lengths[number + 1 :]]
        closest = min(others, key=lambda other: (abs(other - length), other))
        total_score += bleu.compute_bleu(
            correct, total, length, closest, smooth_method="exp", effective_order=True
        ).score
    return total_score / len(shown) / 100.0


def _ngrams(words: list[str], n: int) -> Iterator[tuple[str, ...]]:
    return zip(*(words[start:] for start in range(n)), strict=False)
