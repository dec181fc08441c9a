"""Assignment of documents to splits."""

import hashlib
import random
from collections.abc import Iterable, Iterator
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from rnnlm.config import SplitConfig
from rnnlm.corpora.paragraphs import Bounds, paragraphs, squeezed

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)


def content_hash(text: str) -> int:
    """Return a 64-bit hash of a text; equal texts have equal hashes."""
    data = text.encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big")


def content_hashes(texts: Iterable[bytes]) -> NDArray[np.uint64]:
    """Return the `content_hash` of each of many texts in UTF-8, shape (texts,)."""
    digests = b"".join(hashlib.blake2b(text, digest_size=8).digest() for text in texts)
    return np.frombuffer(digests, ">u8").astype(np.uint64)


def split_by_hash(hashes: NDArray[np.uint64], config: SplitConfig) -> NDArray[np.int8]:
    """Return the index in `SPLITS` of each document's split, a pure function of its hash.

    Adding a document therefore never moves another, and equal documents share a split.
    """
    shares = hashes.astype(np.float64) / 2.0**64
    splits = np.zeros(len(hashes), dtype=np.int8)
    splits[shares < config.test + config.validation] = SPLITS.index("validation")
    splits[shares < config.test] = SPLITS.index("test")
    return splits


def split_by_shuffle(count: int, config: SplitConfig) -> NDArray[np.int8]:
    """Return the index in `SPLITS` of each document's split, after a shuffle by Python's generator.

    In the shuffled order, the first documents are for training and the last for testing.
    Source: the lectures that made `names` a benchmark (makemore).
    """
    order = list(range(count))
    random.Random(config.seed).shuffle(order)
    splits = np.full(count, SPLITS.index("test"), dtype=np.int8)
    ends = _ends(count, config)
    splits[order[: ends[1]]] = SPLITS.index("validation")
    splits[order[: ends[0]]] = SPLITS.index("train")
    return splits


def split_by_position(text: str, config: SplitConfig) -> Iterator[tuple[str, Split]]:
    """Yield the parts of a text: the first for training, then validation, then test."""
    first, second = _ends(len(text), config)
    yield text[:first], "train"
    yield text[first:second], "validation"
    yield text[second:], "test"


def split_by_paragraph(text: str, config: SplitConfig) -> Iterator[tuple[str, Split]]:
    """Yield a text's paragraphs for training, joined, then those for validation, then for test.

    Each paragraph's split is a pure function of its words. No edit elsewhere moves it, and what was
    held out once is never trained on, however the text grows. A blank line replaces the paragraphs
    of other splits.
    """
    bounds = paragraphs(text)
    codes = split_by_hash(content_hashes(squeezed(text, bounds)), config)
    for code, split in enumerate(SPLITS):
        yield _joined(text, bounds, codes == code), split


def _joined(text: str, bounds: Bounds, chosen: NDArray[np.bool_]) -> str:
    """Return the chosen paragraphs as one text."""
    changes = np.flatnonzero(np.diff(chosen, prepend=False, append=False)).tolist()
    runs = zip(changes[::2], changes[1::2], strict=True)
    parts = [text[bounds[first, 0] : bounds[end - 1, 1]] for first, end in runs]
    return "\n\n".join(part.rstrip() for part in parts)


def _ends(count: int, config: SplitConfig) -> tuple[int, int]:
    """Return where the training part ends and where the validation part ends, in whole items."""
    ends = (1.0 - config.validation - config.test, 1.0 - config.test)
    first, second = (int(share * count + 1e-6) for share in ends)  # 0.9 may be 0.8999…
    return first, second
