"""A sensible experiment for any text, by rules that are said aloud.

Each choice comes with the observation behind it, so that a reader can disagree and say
`--set model.hidden_size=512`.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import Any, Literal, NamedTuple

from rnnlm.config import Experiment, from_values
from rnnlm.corpora.files import RECIPE_READERS
from rnnlm.corpora.preview import look
from rnnlm.corpora.unwrapping import unwrap
from rnnlm.storage import value_digest

MOST_CHARACTERS = 256
"""Distinct characters above which bytes make the smaller and better-trained vocabulary."""
FEWEST_DOCUMENTS = 100
"""Passages are made short enough that a text yields about this many, where it can."""
BPTT = 100
LONGEST_WHOLE = 1000
"""Characters of a line up to which gradients flow through all of it; memory grows with it."""
EPOCHS = 20
FEWEST_TOKENS, MOST_TOKENS = 1_000_000, 6_000_000
"""Tokens to train on: about 20 epochs, but a minute's worth at least and a few minutes' at most
(a text longer than that is read once)."""


class Size(NamedTuple):
    """A network for texts of up to so many characters.

    The wider it is, the more text it takes before it learns by heart; the fewer passages step
    together, the more steps a short text gives.
    """

    characters: float
    width: int
    dropout: float
    passages: int


SIZES = (
    Size(50_000, 128, 0.4, 8),
    Size(300_000, 256, 0.3, 8),
    Size(2_000_000, 256, 0.2, 16),
    Size(float("inf"), 384, 0.1, 32),
)


@dataclass(frozen=True)
class Choice:
    """One decision: what was set, to what, and why."""

    setting: str
    value: str
    reason: str


@dataclass(frozen=True)
class Advice:
    """An experiment and the choices that led to it."""

    experiment: Experiment
    choices: tuple[Choice, ...]


def advise(source: str, cache: Path, overrides: tuple[str, ...] = ()) -> Advice:
    """Look at a corpus and choose documents, cleaning, tokenizer, network and budget for it.

    Args:
        source: A path, or what else `corpus.source` may be.
        cache: Folder for what has to be fetched.
        overrides: `key=value` settings that win over the choices.

    Raises:
        CorpusError: It cannot be read; see `rnnlm.corpora.preview.look`.
        ConfigError: An override is wrong.
    """
    given = from_values({"name": "text", "corpus": {"source": source}}, overrides, origin=source)
    seen = look(given.corpus, cache)
    is_plain = seen.reader == "text"
    text = "\n".join(seen.texts)
    kind, why_documents = _document_kind(text) if is_plain else ("whole", f"{seen.reader} records")
    if "documents" in given.corpus.model_fields_set:
        kind, why_documents = given.corpus.documents, "as set"
    joins = unwrap(text)[1] if kind == "passages" else 0
    is_wrapped = joins > 0.3 * text.count("\n")
    distinct = len(set(text))
    tokenizer = "character" if distinct <= MOST_CHARACTERS else "byte"
    characters = round(len(text) * seen.bytes / max(1, seen.read))
    size = characters if tokenizer == "character" else seen.bytes
    network = next(size for size in SIZES if characters <= size.characters)
    tokens = max(size, min(MOST_TOKENS, max(FEWEST_TOKENS, EPOCHS * size)))
    budget = f"{tokens / 1e6:.1f}M tokens"
    passage = max(100, min(2000, characters // FEWEST_DOCUMENTS))
    share = 0.05 if characters > 500_000 else 0.1
    pieces = {"lines": text.split("\n"), "whole": seen.texts}.get(kind)
    longest = max(map(len, pieces), default=1) if pieces else passage
    fits = pieces is not None and longest <= LONGEST_WHOLE
    values: dict[str, Any] = {
        "name": _name(source),
        "corpus": {
            "source": source,
            "documents": kind,
            "form": "recipe" if seen.reader in RECIPE_READERS else "text",
            "passage_characters": passage,
            "clean": {"unwrap": is_wrapped},
        },
        "splits": {"validation": share, "test": share},
        "tokenizer": {"kind": tokenizer},
        "model": {
            "hidden_size": network.width,
            "embedding_size": network.width // 4,
            "dropout": network.dropout,
        },
        "training": {
            "feed": "documents" if fits else "stream",
            "batch_size": _texts_at_once(pieces) if fits and pieces else network.passages,
            "bptt": BPTT,
            "learning_rate": 0.004,
            "budget": budget,
        },
        "generation": {
            "count": 1000 if fits else 50,
            "batch_size": 256 if fits else 64,
            "temperature": 0.8 if fits else 0.7,
            "max_length": min(10_000, max(50, (2 if fits else 1) * longest)),
        },
    }
    why_wrapped = f"{joins:,} line ends within paragraphs" if is_wrapped else "lines as they are"
    choices = (
        Choice("documents", kind, why_documents),
        Choice("encoding", seen.encoding or "Parquet", "as detected"),
        *([Choice("unwrap", "yes" if is_wrapped else "no", why_wrapped)] * (kind == "passages")),
        Choice("tokenizer", f"{tokenizer}s", f"{distinct:,} distinct characters"),
        Choice("held out", f"{share:.0%} + {share:.0%}", "validation and test, by document"),
        Choice("network", f"LSTM 1×{network.width}", f"{characters:,} characters of text"),
        Choice(
            "sequences",
            f"{kind} of up to {longest}" if fits else f"{BPTT} tokens",
            "gradients flow back that far, the state further",
        ),
        Choice("budget", budget, f"{tokens / size:.0f} readings of the text"),
    )
    experiment = from_values(values, overrides, origin=source)
    return Advice(experiment, choices)


def _document_kind(text: str) -> tuple[Literal["lines", "passages"], str]:
    """Decide whether each line stands for itself, from how the lines look."""
    lines = text.split("\n")
    filled = [len(line) for line in lines if line.strip()]
    blank = 1.0 - len(filled) / max(1, len(lines) - 1)
    typical = median(filled)
    long = quantiles(filled, n=10)[-1] if len(filled) > 1 else typical
    wrapped = long >= 40 and sum(0.75 * long <= size <= 1.1 * long for size in filled) > (
        0.5 * len(filled)
    )
    if blank > 0.05:
        return "passages", f"{blank:.0%} of the lines are blank: paragraphs"
    if len(filled) < FEWEST_DOCUMENTS:
        return "passages", f"{len(filled)} lines only"
    goes_on = sum(line[:1].islower() for line in lines) > 0.3 * len(filled)
    if typical > 200 or (wrapped and goes_on):
        return "passages", f"lines of {typical:.0f} characters, wrapped or long: prose"
    return "lines", f"{len(filled):,} lines of {typical:.0f} characters, none blank"


def _texts_at_once(texts: Sequence[str]) -> int:
    """Return how many texts make about a thousand tokens, enough to keep a processor busy."""
    typical = median(len(text) for text in texts if text.strip())
    return int(max(16, min(256, 1024 // max(1, typical))))


def _name(source: str) -> str:
    """Turn a path into a model's name."""
    path = Path(source.split("*", maxsplit=1)[0]) if "*" in source else Path(source)
    while path.suffix in (".gz", ".zst", ".bz2", ".zip"):
        path = path.with_suffix("")
    name = re.sub(r"[^A-Za-z0-9]+", "-", path.stem).strip("-").lower()[:90]
    if path.stem.isascii() and name:
        return name
    return f"{name or 'text'}-{value_digest(path.stem)[:6]}"  # letters that a name cannot hold
