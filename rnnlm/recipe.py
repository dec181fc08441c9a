"""Choose the network, tokens, initial weights and length of training for a text.

The numbers in this module were chosen by validation scores on a few texts, never by test scores.
docs/experiments.md lists what was tried; to try other numbers, score them with
`benchmarks/texts.py --split validation`.

A text consists of documents: short ones (lines or records), or passages cut from a long text.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from rnnlm import bases, checkpoint, dataset
from rnnlm.audit.words import share_in
from rnnlm.bases.fitting import NO_BASE
from rnnlm.bases.windows import windows_of
from rnnlm.checkpoint import LoadedModel
from rnnlm.evaluation.scoring import evaluate
from rnnlm.overlap import Hashes, seen_windows

MOST_CHARACTERS = 256
"""Number of distinct characters above which the tokens are bytes instead of characters, since they
give a smaller and better-trained vocabulary."""
LOOKED_AT, PIECE = 20_000, 1000
"""Number of characters at the beginning of a text that a base scores before the choice is made, and
length of the pieces in which it scores them. As many characters, from all over the text, show
whether the base has read it."""
LEAST_ENGLISH = 0.7
"""Share of a text's words that must be in an English dictionary for the base to help. English
prose, lists and recipes have 90% and more, other languages and first names up to 51%."""
MOST_BITS = 5.0
"""A base that predicts a text at more bits per character than this cannot help. English prose takes
1.7 to 2.3 bits, lists of names and recipes 3.7 to 4.6; code takes 5.4."""
MOST_SEEN = 0.5
"""A base that was trained on more than this share of a text is not used for the text."""
_TRIPLE = re.compile(r"(?:\D\d{1,3}){3}\s*$|#[0-9a-fA-F]{6}\b")
"""Matches a line that ends with three small numbers, or contains a hexadecimal colour."""
TOKENS_AT_ONCE = 1024
"""Target number of tokens in a batch of short documents, when training from random weights."""


@dataclass(frozen=True)
class Seen:
    """What is known of a text when a recipe is chosen.

    Attributes:
        characters: Number of characters.
        bytes: Number of UTF-8 bytes.
        distinct: Number of distinct characters.
        pieces: The first documents.
        is_short: Whether each document is short enough for gradients to flow through all of it.
    """

    characters: int
    bytes: int
    distinct: int
    pieces: Sequence[str]
    is_short: bool


@dataclass(frozen=True)
class Recipe:
    """The settings chosen for a text, and the reasons.

    Attributes:
        values: Sections `tokenizer`, `model` and `training` of an experiment.
        network: The network, in a few words.
        tokens: The tokens, in a few words.
        start: What training starts from, in a few words, and the reason.
        why_rate: Reason for the learning rate.
        readings: Number of passes over the training text.
        vocab_size: Approximate number of distinct tokens.
        characters_per_token: Approximate number of characters per token.
    """

    values: dict[str, dict[str, Any]]
    network: str
    tokens: str
    start: tuple[str, str]
    why_rate: str
    readings: float
    vocab_size: int
    characters_per_token: float


class Scratch(NamedTuple):
    """How to train from random weights on a text of up to `characters` characters.

    Attributes:
        characters: Largest size of the text.
        num_layers: The setting `model.num_layers`.
        dropout: The setting `model.dropout`.
        learning_rate: The setting `training.learning_rate`.
        passages: The setting `training.batch_size` if the documents are passages.
        readings: Number of passes over the training text.
    """

    characters: float
    num_layers: int
    dropout: float
    learning_rate: float
    passages: int
    readings: float


class Tuning(NamedTuple):
    """How to train from a base on a text of up to `characters` characters.

    Attributes:
        characters: Largest size of the text.
        dropout: The setting `model.dropout`.
        embedding_dropout: The setting `model.embedding_dropout`.
        readings: Number of passes over the training text.
    """

    characters: float
    dropout: float
    embedding_dropout: float
    readings: float


FROM_NOTHING = (
    Scratch(50_000, 2, 0.4, 0.01, 16, 25),
    Scratch(150_000, 2, 0.4, 0.02, 16, 18),
    Scratch(400_000, 2, 0.2, 0.02, 32, 14),
    Scratch(1_000_000, 2, 0.1, 0.02, 32, 12),
    Scratch(float("inf"), 2, 0.05, 0.02, 32, 5),
)
SHORT_LIST = Scratch(25_000, 1, 0.5, 0.01, 16, 25)
"""For short documents, such as names: one layer learns as much as two in half the time, and copies
less."""
FROM_BASE = (
    Tuning(50_000, 0.35, 0.15, 10),
    Tuning(300_000, 0.25, 0.0, 7),
    Tuning(1_000_000, 0.15, 0.0, 5),
    Tuning(float("inf"), 0.1, 0.0, 3),
)
FEWEST_TOKENS, MOST_TOKENS, MOST_READ = 500_000, 6_000_000, 40_000_000
"""Limits on the number of tokens to train on from random weights: at least the first number for any
text; at most the second if the text is read several times; at most the third if it is read once."""
SHORT_RATE = 0.004
"""Learning rate when training from a base on short documents, each of which is fed to the network
whole."""
NEAR_BITS, NEAR_RATE, RATE_PER_BIT = 2.5, 0.003, 0.0016
"""Learning rate when training from a base on passages: `NEAR_RATE` if the base predicts them at
`NEAR_BITS` per character or fewer, plus `RATE_PER_BIT` for each further bit. The less a base knows
about a text, the farther its weights have to move."""
MOST_TUNED_TOKENS, MOST_TUNED_READ = 2_400_000, 5_000_000
"""Limits on the number of tokens to train on from a base: at most the first number if the text is
read several times; at most the second if it is read once."""
SHORT_AT_ONCE, PASSAGES_AT_ONCE, BPTT = 32, 16, 64
"""Batch size for short documents and for passages when training from a base, and number of tokens
of each passage in a step (with or without a base)."""


def choose_recipe(seen: Seen, wanted: tuple[str, str] | None = None) -> Recipe:
    """Return how to train on a text.

    Args:
        seen: What is known of the text.
        wanted: The base to start from, or `none`, and the reason; None to choose one here.
    """
    name, why = wanted or choose_base(seen)
    return _from_nothing(seen, why) if name == NO_BASE else _from_base(seen, name, why)


def choose_base(seen: Seen) -> tuple[str, str]:
    """Return the name of the base that helps with a text, or `none`, and the reason."""
    name = bases.SHIPPED[0]
    path = bases.shipped(name)
    if not path.is_file():
        return NO_BASE, "no base comes with this installation"
    triples = sum(bool(_TRIPLE.search(piece)) for piece in seen.pieces[:1000])
    if triples > 0.5 * len(seen.pieces[:1000]):
        return NO_BASE, "colours as numbers, which a base trained on prose does not know"
    if _known_share(seen.pieces, _windows(path)) > MOST_SEEN:
        return NO_BASE, f"base {name} has read this text before"
    read = _read_first(seen.pieces)
    english = share_in("en", read)
    if english < LEAST_ENGLISH:
        return NO_BASE, f"only {english:.0%} of its words are English, too few for base {name}"
    bits = _bits(path, read)
    if bits > MOST_BITS:
        return NO_BASE, f"too far from base {name}: {bits:.1f} bits/character before training"
    return name, f"it predicts the text at {bits:.1f} bits/character before training"


def _from_nothing(seen: Seen, why: str) -> Recipe:
    sizes = (SHORT_LIST, *FROM_NOTHING) if seen.is_short else FROM_NOTHING
    size = next(size for size in sizes if seen.characters <= size.characters)
    kind = "character" if seen.distinct <= MOST_CHARACTERS else "byte"
    whole = seen.characters if kind == "character" else seen.bytes
    tokens = min(MOST_TOKENS, max(FEWEST_TOKENS, size.readings * whole))
    tokens = max(tokens, min(MOST_READ, whole))
    model = {
        "num_layers": size.num_layers,
        "hidden_size": 256,
        "embedding_size": 128,
        "dropout": size.dropout,
    }
    training = _training(seen, size.learning_rate, tokens) | {
        "base": NO_BASE,
        "batch_size": _texts_at_once(seen.pieces) if seen.is_short else size.passages,
    }
    return Recipe(
        values={"tokenizer": {"kind": kind}, "model": model, "training": training},
        network=f"LSTM {size.num_layers}×256",
        tokens=f"{kind}s",
        start=("random weights", why),
        why_rate="from random weights, with Muon",
        readings=tokens / whole,
        vocab_size=seen.distinct + 1 if kind == "character" else 257,
        characters_per_token=seen.characters / whole,
    )


def _from_base(seen: Seen, name: str, why: str) -> Recipe:
    size = next(size for size in FROM_BASE if seen.characters <= size.characters)
    values: dict[str, dict[str, Any]] = {
        "model": {"dropout": size.dropout, "embedding_dropout": size.embedding_dropout}
    }
    bits = NEAR_BITS
    start, network, tokens_name = name, "the base's", "the base's"
    vocab_size, per_token = 4096, 3.5
    if name in bases.SHIPPED:
        loaded = _load(bases.shipped(name))
        read = _read_first(seen.pieces)
        first = "\n".join(read)
        per_token = len(first) / max(1, len(loaded.tokenizer.encode(first)))
        config, vocab_size = loaded.experiment.model, loaded.tokenizer.vocab_size
        network = f"{config.architecture.upper()} {config.num_layers}×{config.hidden_size}"
        tokens_name = f"{loaded.tokenizer.vocab_size:,} word pieces"
        start = f"base {name}"
        bits = _bits(bases.shipped(name), read)
    whole = seen.characters / per_token
    tokens = min(MOST_TUNED_TOKENS, size.readings * whole)
    tokens = max(tokens, min(MOST_TUNED_READ, whole))
    values["training"] = _training(seen, SHORT_RATE if seen.is_short else _rate(bits), tokens) | {
        "base": name,
        "batch_size": SHORT_AT_ONCE if seen.is_short else PASSAGES_AT_ONCE,
        "validations": 10,
    }
    return Recipe(
        values=values,
        network=network,
        tokens=tokens_name,
        start=(start, why),
        why_rate="for short texts" if seen.is_short else "higher the less the base knows the text",
        readings=tokens / whole,
        vocab_size=vocab_size,
        characters_per_token=per_token,
    )


def _training(seen: Seen, learning_rate: float, tokens: float) -> dict[str, Any]:
    return {
        "feed": "documents" if seen.is_short else "stream",
        "bptt": BPTT,
        "optimizer": "muon",
        "learning_rate": learning_rate,
        "weight_decay": 0.1,
        "budget": f"{tokens / 1e6:.2g}M tokens",
    }


def _texts_at_once(texts: Sequence[str]) -> int:
    """Return a batch size for short texts: as many as have about `TOKENS_AT_ONCE` characters.

    That is enough to keep a processor busy. The batch size is at least 16 and at most 256.
    """
    typical = median(len(text) for text in texts if text.strip())
    return int(max(16, min(256, TOKENS_AT_ONCE // max(1, typical))))


def _read_first(pieces: Sequence[str]) -> tuple[str, ...]:
    """Return about the first `LOOKED_AT` characters of a text, in pieces of at most `PIECE`."""
    read: list[str] = []
    left = LOOKED_AT
    for piece in pieces:
        for start in range(0, len(piece), PIECE):
            read.append(piece[start : start + PIECE])
            left -= len(read[-1])
            if left <= 0:
                return tuple(read)
    return tuple(read)


def _known_share(pieces: Sequence[str], known: Hashes) -> float:
    """Return the share of a text's sampled windows of words that a base has read.

    It is estimated from about `LOOKED_AT` characters from all over the text, since editions of a
    book differ in their prefaces.
    """
    whole = "\n".join(pieces)
    every = PIECE * max(1, len(whole) // LOOKED_AT)
    parts = [seen_windows(whole[at : at + PIECE], known) for at in range(0, len(whole), every)]
    return sum(read for read, _ in parts) / max(1, sum(sampled for _, sampled in parts))


def _rate(bits: float) -> float:
    """Return the learning rate for a text that its base predicts at `bits` per character."""
    return round(NEAR_RATE + RATE_PER_BIT * max(0.0, bits - NEAR_BITS), 4)


@lru_cache(maxsize=1)
def _bits(path: Path, pieces: tuple[str, ...]) -> float:
    """Return the bits per character at which a base predicts some texts."""
    loaded = _load(path)
    tokens = dataset.from_texts(loaded.tokenizer, pieces)
    return evaluate(loaded.model, tokens).score.bits_per_character


@lru_cache(maxsize=1)
def _load(path: Path) -> LoadedModel:
    return checkpoint.load(path)


@lru_cache(maxsize=1)
def _windows(path: Path) -> Hashes:
    return windows_of(path)
