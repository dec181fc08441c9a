"""A sensible experiment for any text, by rules that are said aloud.

Each choice comes with the observation behind it, so that a reader can disagree and say
`--set model.hidden_size=512`.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import Any, Literal, NamedTuple

from rnnlm.config import Experiment, from_values
from rnnlm.corpora.ingestion import read_text
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


def advise(path: Path, overrides: tuple[str, ...] = ()) -> Advice:
    """Look at a text file and choose documents, tokenizer, network and budget for it.

    Args:
        path: A text file.
        overrides: `key=value` settings that win over the choices.

    Raises:
        CorpusError: The file cannot be used; see `rnnlm.corpora.ingestion.read_text`.
        ConfigError: An override is wrong.
    """
    given = from_values(
        {"name": "text", "corpus": {"source": str(path)}}, overrides, origin=str(path)
    ).corpus
    text, encoding = read_text(given)
    kind, why_documents = _document_kind(text)
    if "documents" in given.model_fields_set:
        kind, why_documents = given.documents, "as set"
    distinct = len(set(text))
    tokenizer = "character" if distinct <= MOST_CHARACTERS else "byte"
    size = len(text) if tokenizer == "character" else len(text.encode())
    network = next(size for size in SIZES if len(text) <= size.characters)
    tokens = max(size, min(MOST_TOKENS, max(FEWEST_TOKENS, EPOCHS * size)))
    budget = f"{tokens / 1e6:.1f}M tokens"
    passage = max(100, min(2000, len(text) // FEWEST_DOCUMENTS))
    share = 0.05 if len(text) > 500_000 else 0.1
    lines = kind == "lines"
    longest = max((len(line) for line in text.split("\n")), default=1) if lines else passage
    values: dict[str, Any] = {
        "name": _name(path),
        "corpus": {
            "source": str(path),
            "encoding": given.encoding,
            "documents": kind,
            "passage_characters": passage,
        },
        "splits": {"validation": share, "test": share},
        "tokenizer": {"kind": tokenizer},
        "model": {
            "hidden_size": network.width,
            "embedding_size": network.width // 4,
            "dropout": network.dropout,
        },
        "training": {
            "feed": "documents" if lines and longest <= LONGEST_WHOLE else "stream",
            "batch_size": _lines_at_once(text) if lines else network.passages,
            "bptt": BPTT,
            "learning_rate": 0.004,
            "budget": budget,
        },
        "generation": {
            "count": 1000 if lines else 50,
            "batch_size": 256 if lines else 64,
            "temperature": 0.8 if lines else 0.7,
            "max_length": min(10_000, max(50, (2 if lines else 1) * longest)),
        },
    }
    choices = (
        Choice("documents", f"{kind}", why_documents),
        Choice("encoding", encoding, "as detected"),
        Choice("tokenizer", f"{tokenizer}s", f"{distinct:,} distinct characters"),
        Choice("held out", f"{share:.0%} + {share:.0%}", "validation and test, by document"),
        Choice("network", f"LSTM 1×{network.width}", f"{len(text):,} characters of text"),
        Choice(
            "sequences",
            _sequences(longest if lines else None),
            "gradients flow back that far, the state further",
        ),
        Choice("budget", budget, f"{tokens / size:.0f} readings of the text"),
    )
    experiment = from_values(values, overrides, origin=str(path))
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


def _lines_at_once(text: str) -> int:
    """Return how many lines make about a thousand tokens, enough to keep a processor busy."""
    typical = median(len(line) for line in text.split("\n") if line.strip())
    return int(max(16, min(256, 1024 // typical)))


def _sequences(longest: int | None) -> str:
    if longest is not None and longest <= LONGEST_WHOLE:
        return f"lines of up to {longest}"
    return f"{BPTT} tokens"


def _name(path: Path) -> str:
    """Turn a file's name into a model's name."""
    name = re.sub(r"[^A-Za-z0-9]+", "-", path.stem).strip("-").lower()[:90]
    if path.stem.isascii() and name:
        return name
    return f"{name or 'text'}-{value_digest(path.stem)[:6]}"  # letters that a name cannot hold
