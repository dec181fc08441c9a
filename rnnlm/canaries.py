"""Canaries: random secrets that are planted in training text, to measure what a model remembers.

Each canary is a line such as `The number of Kovira is 3141 5926 5358 9793`. It is added to the
documents of the training split when the network is trained, a stated number of times, at random
places. The corpus, its tokens, the held-out splits and the n-gram baselines do not contain it.

Source: Carlini et al. 2019, The Secret Sharer.
"""

import math
import random
import string
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from rnnlm.conditioning import header
from rnnlm.config import Experiment
from rnnlm.dataset import from_texts
from rnnlm.errors import ConfigError
from rnnlm.tokenizer import Tokenizer
from rnnlm.tokens import TokenArrays

EXPLAINED = (
    "Canaries are random secrets that were planted in the training text. Exposure is the number "
    "of bits by which the model shortens the search for a secret: 0 if it does not help, all bits "
    "if the secret is likelier than every other. A secret is extracted if the model completes it "
    "when given what precedes it."
)
"""What canaries are, for readers of a card or a report."""
REPEATS = (1, 4, 16, 64)
"""How often a canary is planted; the canaries take these numbers in turn."""
GROUPS, GROUP = 4, 4
"""A secret has four groups of four symbols."""
_SYLLABLES = [a + b for a in "bdfgklmnprst" for b in "aeiou"]


class _Style(NamedTuple):
    """How canaries are written.

    Attributes:
        beginning: What precedes the secret, with a place for the name.
        symbols: Symbols of the secret.
        spell: Function that spells the name.
    """

    beginning: str
    symbols: str
    spell: Callable[[str], str]


_STYLES = tuple(
    _Style(beginning, symbols, spell)
    for symbols in (string.digits, string.ascii_lowercase)
    for beginning, spell in (
        ("The number of {} is", str.capitalize),
        ("the number of {} is", str.lower),
    )
)
"""The first of these that the vocabulary can express is used."""


class Canary(NamedTuple):
    """A planted line.

    Attributes:
        beginning: What precedes the secret; no two canaries have the same beginning.
        secret: The random symbols, in groups.
        repeats: Number of times that the line is in the training text.
        symbols: The alphabet from which each symbol of the secret is chosen.
    """

    beginning: str
    secret: str
    repeats: int
    symbols: str

    @property
    def entropy_bits(self) -> float:
        """Entropy of a random secret."""
        return GROUPS * GROUP * math.log2(len(self.symbols))

    @property
    def text(self) -> str:
        """The whole line."""
        return f"{self.beginning} {self.secret}"


class ExposureRow(BaseModel):
    """What a model remembers of the canaries that were planted equally often.

    Attributes:
        repeats: Number of times that each of them is in the training text.
        canaries: Number of these canaries.
        exposure_bits: Mean of their exposures; see `rnnlm.evaluation.exposure`.
        most_bits: Largest possible exposure: the entropy of a random secret.
        extracted: Number of them that the model writes in full when it is given the beginning of
            the line and always chooses the likeliest token.
    """

    model_config = ConfigDict(frozen=True)

    repeats: int
    canaries: int
    exposure_bits: float
    most_bits: float
    extracted: int


def canaries_of(experiment: Experiment, tokenizer: Tokenizer) -> tuple[Canary, ...]:
    """Return the canaries of an experiment, which its seed decides; none unless it asks for them.

    Raises:
        ConfigError: The vocabulary can spell neither digits nor the letters from a to z.
    """
    count = experiment.training.canaries
    if not count:
        return ()
    chance = random.Random(f"canaries {experiment.training.seed}")
    style = _style(tokenizer)
    names: dict[str, None] = {}  # unlike a set, in order
    while len(names) < count:
        names["".join(chance.choices(_SYLLABLES, k=4))] = None
    return tuple(
        Canary(
            beginning=style.beginning.format(style.spell(name)),
            secret=random_secret(chance, style.symbols),
            repeats=REPEATS[number % len(REPEATS)],
            symbols=style.symbols,
        )
        for number, name in enumerate(names)
    )


def random_secret(chance: random.Random, symbols: str) -> str:
    """Return a random secret: four groups of four symbols."""
    return " ".join("".join(chance.choices(symbols, k=GROUP)) for _ in range(GROUPS))


def model_text(text: str, condition: Sequence[str]) -> str:
    """Return a canary's text as a model reads it, after a header with empty values."""
    return header({}, condition) + text


def plant(
    documents: TokenArrays, experiment: Experiment, tokenizer: Tokenizer, folder: Path
) -> TokenArrays:
    """Return the documents with the experiment's canaries among them, if it asks for any.

    The places are random, with a seed that depends only on the canaries.

    Args:
        documents: Documents of the training split; if they are memory-mapped, so is the result.
        experiment: The experiment.
        tokenizer: Tokenizer of the documents.
        folder: Folder for the temporary file of a memory-mapped result.

    Raises:
        ConfigError: The vocabulary cannot express canaries.
    """
    canaries = canaries_of(experiment, tokenizer)
    if not canaries:
        return documents
    texts = [model_text(canary.text, experiment.corpus.condition) for canary in canaries]
    lines = from_texts(tokenizer, texts)
    copies = np.repeat(np.arange(len(canaries)), [canary.repeats for canary in canaries])
    chance = np.random.default_rng([*"".join(canary.secret for canary in canaries).encode()])
    before = np.sort(chance.integers(len(documents.characters) + 1, size=len(copies)))
    copies = chance.permutation(copies)
    total = len(documents.tokens) + int(lines.lengths[copies].sum())
    tokens = _empty_like(documents, total, folder)
    done, bounds = 0, [0, *documents.offsets[before].tolist(), len(documents.tokens)]
    pieces = [lines.tokens[lines.offsets[n] : lines.offsets[n + 1]] for n in copies.tolist()]
    for (start, end), piece in zip(pairwise(bounds), [*pieces, pieces[0][:0]], strict=True):
        for part in (documents.tokens[start:end], piece):
            tokens[done : done + len(part)] = part
            done += len(part)
    lengths = np.insert(documents.lengths, before, lines.lengths[copies])
    return TokenArrays(
        tokens=tokens,
        offsets=np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)]),
        characters=np.insert(documents.characters, before, lines.characters[copies]),
        bytes=np.insert(documents.bytes, before, lines.bytes[copies]),
    )


def _empty_like(documents: TokenArrays, total: int, folder: Path) -> NDArray[Any]:
    kind = documents.tokens.dtype
    if not isinstance(documents.tokens, np.memmap):
        return np.empty(total, kind)
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryFile(dir=folder) as file:  # it has no name, and is removed with the mapping
        return np.memmap(file, kind, "w+", shape=(total,))


def _style(tokenizer: Tokenizer) -> _Style:
    for style in _STYLES:
        name = style.spell("".join(_SYLLABLES))
        secret = random_secret(random.Random(1), style.symbols)
        if not tokenizer.unknown_in(f"{style.beginning.format(name)} {style.symbols} {secret}"):
            return style
    raise ConfigError(
        "training.canaries needs a vocabulary that can spell English words, and digits or the "
        f"letters from a to z (found one of {tokenizer.vocab_size:,} {tokenizer.kind} tokens); "
        "set tokenizer.kind = 'byte', or training.canaries = 0"
    )
