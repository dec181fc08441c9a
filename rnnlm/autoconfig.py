"""A sensible experiment for any text, by rules that are said aloud.

Each choice comes with the observation behind it, so that a reader can disagree and say
`--set model.hidden_size=512`.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Literal

from rnnlm.base import NETWORK, NO_BASE
from rnnlm.config import Experiment, from_values
from rnnlm.corpora.files import RECIPE_READERS
from rnnlm.corpora.preview import look
from rnnlm.corpora.unwrapping import unwrap
from rnnlm.recipe import BPTT, Seen, choose_recipe
from rnnlm.storage import value_digest

FEWEST_DOCUMENTS = 100
"""Passages are made short enough that a text yields about this many, where it can."""
HELD_OUT = 0.1
"""Of the text, for validation and again for testing. It does not depend on the text's size, or what
was held out would be trained on when the text grows."""
LONGEST_WHOLE = 1000
"""Characters of a line up to which gradients flow through all of it; memory grows with it."""
MOST_PIECES = 20_000
"""Documents of a text that a recipe is chosen by, the first ones."""


@dataclass(frozen=True)
class Choice:
    """One decision: what was set, to what, and why."""

    setting: str
    value: str
    reason: str


@dataclass(frozen=True)
class Advice:
    """An experiment and the choices that led to it.

    Attributes:
        experiment: What would run.
        choices: In the order in which they are shown.
        vocab_size: Distinct tokens, about.
        document_tokens: Of a typical document, about.
    """

    experiment: Experiment
    choices: tuple[Choice, ...]
    vocab_size: int
    document_tokens: int


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
    characters = round(len(text) * seen.bytes / max(1, seen.read))
    passage = max(100, min(2000, characters // FEWEST_DOCUMENTS))
    pieces = {"lines": text.split("\n"), "whole": seen.texts}.get(kind)
    longest = max(map(len, pieces), default=1) if pieces else passage
    fits = pieces is not None and longest <= LONGEST_WHOLE
    first = [piece for piece in (pieces or text.split("\n\n"))[:MOST_PIECES] if piece.strip()]
    recipe = choose_recipe(
        Seen(characters, seen.bytes, len(set(text)), first, fits), _wanted_base(given)
    )
    longest_tokens = round(longest / recipe.characters_per_token)
    values: dict[str, Any] = {
        "name": _name(source),
        "corpus": {
            "source": source,
            "documents": kind,
            "form": "recipe" if seen.reader in RECIPE_READERS else "text",
            "passage_characters": passage,
            "clean": {"unwrap": kind == "passages"},
        },
        "splits": {"validation": HELD_OUT, "test": HELD_OUT},
        **recipe.values,
        "generation": {
            "count": 1000 if fits else 50,
            "batch_size": 256 if fits else 64,
            "temperature": 0.8 if fits else 0.7,
            "max_length": min(10_000, max(50, (2 if fits else 1) * longest_tokens)),
        },
    }
    why_wrapped = f"{joins:,} line ends within wrapped paragraphs"
    choices = (
        Choice("documents", kind, why_documents),
        Choice("encoding", seen.encoding or "Parquet", "as detected"),
        *([Choice("unwrap", "yes" if joins else "no", why_wrapped)] * (kind == "passages")),
        Choice("held out", f"{HELD_OUT:.0%} + {HELD_OUT:.0%}", "validation and test, by paragraph"),
        Choice("starts from", *recipe.start),
        Choice("tokens", recipe.tokens, f"{len(set(text)):,} distinct characters"),
        Choice("network", recipe.network, f"{characters:,} characters of text"),
        Choice("dropout", str(recipe.values["model"]["dropout"]), "less for more text"),
        Choice("rate", str(recipe.values["training"]["learning_rate"]), recipe.why_rate),
        Choice(
            "sequences",
            f"{kind} of up to {longest}" if fits else f"{BPTT} tokens",
            "gradients flow back that far, the state further",
        ),
        Choice(
            "budget",
            str(recipe.values["training"]["budget"]),
            f"{recipe.readings:.1f} readings of the text",
        ),
    )
    experiment = from_values(values, overrides, origin=source)
    typical = passage if pieces is None else median(map(len, first))
    tokens = max(1, round(typical / recipe.characters_per_token))
    return Advice(experiment, choices, recipe.vocab_size, tokens)


def _wanted_base(given: Experiment) -> tuple[str, str] | None:
    """Return the base that settings ask for, or rule out, and why; None where they do neither."""
    if "base" in given.training.model_fields_set:
        return given.training.base, "as set"
    own = [name for name in NETWORK if name in given.model.model_fields_set]
    named = [f"model.{name}" for name in own]
    named += [f"tokenizer.{name}" for name in sorted(given.tokenizer.model_fields_set)]
    return (NO_BASE, f"{named[0]} is set") if named else None


def _document_kind(text: str) -> tuple[Literal["lines", "passages"], str]:
    """Decide whether each line stands for itself, from how the lines look, not how many they are."""
    lines = text.split("\n")
    filled = [len(line) for line in lines if line.strip()]
    blank = 1.0 - len(filled) / max(1, len(lines) - 1)
    typical = median(filled)
    if blank > 0.05:
        return "passages", f"{blank:.0%} of the lines are blank: paragraphs"
    if typical > 200:
        return "passages", f"lines of {typical:.0f} characters: paragraphs"
    if unwrap(text)[1] > 0.3 * len(filled):
        return "passages", f"wrapped lines of {typical:.0f} characters: prose"
    return "lines", f"{len(filled):,} lines of {typical:.0f} characters, none blank"


def _name(source: str) -> str:
    """Turn a path into a model's name."""
    path = Path(source.split("*", maxsplit=1)[0]) if "*" in source else Path(source)
    while path.suffix in (".gz", ".zst", ".bz2", ".zip"):
        path = path.with_suffix("")
    name = re.sub(r"[^A-Za-z0-9]+", "-", path.stem).strip("-").lower()[:90]
    if path.stem.isascii() and name:
        return name
    return f"{name or 'text'}-{value_digest(path.stem)[:6]}"  # letters that a name cannot hold
