"""What every figure of an audit is and where it comes from: the one place that says so."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from rnnlm.audit.copies import SIMILAR
from rnnlm.audit.diversity import SELF_BLEU_TEXTS
from rnnlm.audit.novelty import RUN
from rnnlm.audit.summary import Audit, Figures
from rnnlm.overlap import SAMPLED, WORDS


@dataclass(frozen=True)
class Measure:
    """A figure of an audit.

    Attributes:
        name: What people call it.
        read: Returns it as text, of generated or real texts; empty if there is none.
        of: `all texts` or `a sample`.
        definition: What it is, in one line.
        source: Where it comes from; empty for what needs none.
    """

    name: str
    read: Callable[[Figures], str]
    of: str
    definition: str
    source: str = ""


def measures(audit: Audit) -> Iterator[Measure]:
    """Yield the measures of an audit, in the order in which they are shown."""
    generated = audit.generated
    yield Measure("valid", lambda f: _percent(f.valid_share), "all texts", _VALID[audit.form])
    yield Measure(
        "complete",
        lambda f: _percent(f.complete_share),
        "all texts",
        "Texts that ended by themselves, not at the longest length.",
    )
    yield Measure(
        "existing words",
        lambda f: _percent(f.existing_word_share),
        "a sample",
        "Words that stand in the training text or in a dictionary of its language.",
        "the dictionaries of pyspellchecker",
    )
    yield Measure(
        "copies",
        lambda f: _percent(f.copied_share),
        "all texts",
        f"Texts whose {_subject(audit)} is one of the training split, case and spacing aside, or, "
        f"but for colours, stands within one as written, {RUN} characters or more.",
    )
    yield Measure(
        "near copies",
        lambda f: _percent(f.near_copied_share),
        "a sample",
        f"Texts, no copies, that share {SIMILAR:.0%} of their word sequences with a training text; "
        "under 200 characters, that have the same words in any order, accents, punctuation, plural "
        "s and repetitions aside.",
        "MinHash: Broder 1997; fingerprints: OpenRefine",
    )
    yield Measure(
        "longest run",
        lambda f: _quantiles(f.longest_run_characters),
        "a sample",
        "Characters of a text's longest run that stands in the training text, as written: "
        "half of the texts, 95%, all of them reach at most that.",
        "suffix array: Manber and Myers 1993",
    )
    yield Measure(
        "taken",
        lambda f: _percent(f.taken_share),
        "a sample",
        f"Characters in runs of at least {RUN} that stand in the training text.",
    )
    if generated.base_share is not None:
        yield Measure(
            "of the base",
            lambda f: _percent(f.base_share),
            "a sample",
            f"Windows of {WORDS} words that stand in the text that the model's base has read, "
            f"judged by one window in {SAMPLED}.",
            "windows: Brown et al. 2020; sampling: Broder 1997",
        )
    for n in generated.known_ngram_share:
        yield Measure(
            f"known {n}-grams",
            lambda f, n=n: _percent(f.known_ngram_share.get(n)),  # type: ignore[misc]
            "a sample",
            f"Runs of {n} {audit.unit}s, as written, that stand in the training text.",
            "McCoy et al. 2023, RAVEN",
        )
    for n in generated.distinct_ngram_share:
        yield Measure(
            f"distinct-{n}",
            lambda f, n=n: _percent(f.distinct_ngram_share.get(n)),  # type: ignore[misc]
            "a sample",
            f"Distinct runs of {n} words among as many of either side."
            if n > 1
            else "Distinct words among as many of either side.",
            "Li et al. 2016",
        )
    yield Measure(
        "self-BLEU",
        lambda f: "" if f.self_bleu is None else f"{f.self_bleu:.3f}",
        f"{SELF_BLEU_TEXTS} texts",
        f"Mean BLEU of each text against the others, by 1 to 4 {audit.unit}s; 1 if all are equal.",
        "Zhu et al. 2018, Texygen; sacrebleu: Post 2018",
    )
    yield Measure(
        "bits per character",
        lambda f: "" if f.bits_per_character is None else f"{f.bits_per_character:.3f}",
        "a sample",
        "Surprise of an n-gram model of the training split; below real text's, texts are safer "
        "than it.",
        "Chen and Goodman 1998",
    )
    yield Measure(
        "length",
        lambda f: _quantiles(f.length_characters),
        "all texts",
        f"Characters of the {_subject(audit)}: half of them, 95%, all have at most that.",
    )


_VALID = {
    "text": "Texts that are not empty.",
    "prose": "Texts that end with a sentence; quotes and brackets may close after it.",
    "color": "Texts that are a name and three numbers from 0 to 255, or `#rrggbb` and a name.",
    "recipe": "Texts that read as a MealMaster recipe with ingredients.",
}


def _subject(audit: Audit) -> str:
    return "name" if audit.form == "color" else "text"


def _percent(share: float | None) -> str:
    if share is None:
        return ""
    return f"{share:.2%}" if share else "0%"


def _quantiles(found: dict[str, int]) -> str:
    return " / ".join(f"{found[share]:,}" for share in ("50%", "95%", "100%")) if found else ""
