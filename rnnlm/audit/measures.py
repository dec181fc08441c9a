"""The name, definition and source of every figure of an audit."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from rnnlm.audit.copies import SIMILAR
from rnnlm.audit.diversity import SELF_BLEU_TEXTS
from rnnlm.audit.identifier_index import RARE
from rnnlm.audit.identifiers import LONG, MOST_DIGITS
from rnnlm.audit.novelty import RUN
from rnnlm.audit.summary import Audit, Figures
from rnnlm.overlap import SAMPLED, WORDS


@dataclass(frozen=True)
class Measure:
    """A figure of an audit.

    Attributes:
        name: Display name.
        read: Function that returns the formatted figure of some texts; empty if there is none.
        of: The texts that it is computed on, such as `all texts` or `a sample`.
        definition: One-line definition.
        source: Publication or tool that the figure comes from; may be empty.
    """

    name: str
    read: Callable[[Figures], str]
    of: str
    definition: str
    source: str = ""


def measures(audit: Audit) -> Iterator[Measure]:
    """Yield the measures of an audit, in display order."""
    generated = audit.generated
    yield Measure("valid", lambda f: _percent(f.valid_share), "all texts", _VALID[audit.form])
    yield Measure(
        "complete",
        lambda f: _percent(f.complete_share),
        "all texts",
        "Texts that the model ended, rather than being cut at the maximum length.",
    )
    yield Measure(
        "existing words",
        lambda f: _percent(f.existing_word_share),
        "a sample",
        "Words that occur in the training text or in a dictionary of its language.",
        "the dictionaries of pyspellchecker",
    )
    yield Measure(
        "copies",
        lambda f: _percent(f.copied_share),
        "all texts",
        f"Texts whose {_subject(audit)} equals that of a training text, ignoring case and spacing; "
        f"except for colours, also texts of {RUN} characters or more that occur verbatim within a "
        "training text.",
    )
    yield Measure(
        "numbers",
        lambda f: (
            f"{f.disclosed.copied_numbers:,} of {f.disclosed.numbers:,}" if f.disclosed else ""
        ),
        "all texts",
        f"Numbers of {LONG} to {MOST_DIGITS} digits of the training text that occur in the texts, "
        f"out of all sequences of {LONG} digits or more in them; spaces and dashes within a number "
        "make no difference.",
    )
    yield Measure(
        "e-mail addresses",
        lambda f: (
            f"{f.disclosed.copied_addresses:,} of {f.disclosed.addresses:,}" if f.disclosed else ""
        ),
        "all texts",
        "E-mail addresses of the training text that occur in the texts, out of all addresses in "
        "them.",
    )
    yield Measure(
        "rare names",
        lambda f: f"{f.disclosed.copied_names:,}" if f.disclosed else "",
        "all texts",
        f"Occurrences of rare names: one or two capitalised words, not all of them in the "
        f"dictionary, that occur at most {RARE} times in the training text.",
        "the dictionaries of pyspellchecker",
    )
    yield Measure(
        "near copies",
        lambda f: _percent(f.near_copied_share),
        "a sample",
        f"Texts, other than copies, that share {SIMILAR:.0%} of their word sequences with a "
        "training text; texts under 200 characters, if they have the same words in any order, "
        "ignoring accents, punctuation, plural s and repetitions.",
        "MinHash: Broder 1997; fingerprints: OpenRefine",
    )
    yield Measure(
        "longest run",
        lambda f: _quantiles(f.longest_run_characters),
        "a sample",
        "Length in characters of a text's longest run that occurs verbatim in the training text: "
        "median, 95th percentile and maximum.",
        "suffix array: Manber and Myers 1993",
    )
    yield Measure(
        "taken",
        lambda f: _percent(f.taken_share),
        "a sample",
        f"Characters in runs of at least {RUN} characters that occur in the training text.",
    )
    if generated.base_share is not None:
        yield Measure(
            "of the base",
            lambda f: _percent(f.base_share),
            "a sample",
            f"Windows of {WORDS} words that occur in the training text of the base model, "
            f"estimated from one window in {SAMPLED}.",
            "windows: Brown et al. 2020; sampling: Broder 1997",
        )
    for n in generated.known_ngram_share:
        yield Measure(
            f"known {n}-grams",
            lambda f, n=n: _percent(f.known_ngram_share.get(n)),  # type: ignore[misc]
            "a sample",
            f"Runs of {n} {audit.unit}s that occur verbatim in the training text.",
            "McCoy et al. 2023, RAVEN",
        )
    for n in generated.distinct_ngram_share:
        yield Measure(
            f"distinct-{n}",
            lambda f, n=n: _percent(f.distinct_ngram_share.get(n)),  # type: ignore[misc]
            "a sample",
            f"Distinct runs of {n} words, among equally many of generated and of real text."
            if n > 1
            else "Distinct words, among equally many of generated and of real text.",
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
        "Surprise of an n-gram model of the training split; if it is lower than for real text, the "
        "texts are more predictable than real text.",
        "Chen and Goodman 1998",
    )
    yield Measure(
        "length",
        lambda f: _quantiles(f.length_characters),
        "all texts",
        f"Length of the {_subject(audit)} in characters: median, 95th percentile and maximum.",
    )


_VALID = {
    "text": "Texts that are not empty.",
    "prose": "Texts that end with the end of a sentence; closing quotes and brackets may follow.",
    "color": "Texts that are a name and three numbers from 0 to 255, or `#rrggbb` and a name.",
    "recipe": "Texts that can be parsed as a MealMaster recipe with ingredients.",
}


def _subject(audit: Audit) -> str:
    return "name" if audit.form == "color" else "text"


def _percent(share: float | None) -> str:
    if share is None:
        return ""
    return f"{share:.2%}" if share else "0%"


def _quantiles(found: dict[str, int]) -> str:
    return " / ".join(f"{found[share]:,}" for share in ("50%", "95%", "100%")) if found else ""
