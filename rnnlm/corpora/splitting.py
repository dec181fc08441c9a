"""Assignment of documents to the training, validation and test split."""

import random
from collections.abc import Iterator
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from rnnlm.config import SplitConfig
from rnnlm.corpora.compiled import text as _native
from rnnlm.corpora.hashing import word_hashes
from rnnlm.corpora.paragraphs import Bounds, paragraphs

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)


def split_by_hash(hashes: NDArray[np.uint64], config: SplitConfig) -> NDArray[np.int8]:
    """Assign each document to a split, as a pure function of its hash.

    Adding a document therefore never moves another document to a different split, and equal
    documents are in the same split.

    Args:
        hashes: 64-bit hash of each document, shape (documents,).
        config: Sets the shares of the validation and the test split.

    Returns:
        The index of each document's split in `SPLITS`, shape (documents,).
    """
    shares = hashes.astype(np.float64) / 2.0**64
    splits = np.zeros(len(hashes), dtype=np.int8)
    splits[shares < config.test + config.validation] = SPLITS.index("validation")
    splits[shares < config.test] = SPLITS.index("test")
    return splits


def split_by_shuffle(count: int, config: SplitConfig) -> NDArray[np.int8]:
    """Assign documents to splits after shuffling them with Python's random generator.

    In the shuffled order, the training documents come first and the test documents last. This is
    the procedure of the makemore lectures, whose data set `names` has become a benchmark.

    Args:
        count: Number of documents.
        config: Sets the seed, and the shares of the validation and the test split.

    Returns:
        The index of each document's split in `SPLITS`, shape (documents,).
    """
    order = list(range(count))
    random.Random(config.seed).shuffle(order)
    splits = np.full(count, SPLITS.index("test"), dtype=np.int8)
    ends = _ends(count, config)
    splits[order[: ends[1]]] = SPLITS.index("validation")
    splits[order[: ends[0]]] = SPLITS.index("train")
    return splits


def split_by_position(text: str, config: SplitConfig) -> Iterator[tuple[str, Split]]:
    """Cut a text into a training, a validation and a test part, in this order; yield each part."""
    first, second = _ends(len(text), config)
    yield text[:first], "train"
    yield text[first:second], "validation"
    yield text[second:], "test"


def split_by_paragraph(text: str, config: SplitConfig) -> Iterator[tuple[str, Split]]:
    """Assign each paragraph of a text to a split; yield the paragraphs of each split as one text.

    The split of a paragraph is a pure function of its words, so an edit elsewhere in the text never
    changes it. A paragraph that was held out once is therefore never used for training, however
    the text grows. In the yielded texts, a blank line takes the place of paragraphs of other
    splits.
    """
    bounds = paragraphs(text)
    codes = split_by_hash(word_hashes(text, bounds), config)
    for code, split in enumerate(SPLITS):
        yield _joined(text, bounds, codes == code), split


def _joined(text: str, bounds: Bounds, chosen: NDArray[np.bool_]) -> str:
    """Return the chosen paragraphs as one text, with a blank line where paragraphs are left out."""
    if _native:
        joined: str = _native.choose(text, bounds.tobytes(), chosen.tobytes())
        return joined
    changes = np.flatnonzero(np.diff(chosen, prepend=False, append=False)).tolist()
    runs = zip(changes[::2], changes[1::2], strict=True)
    parts = [text[bounds[first, 0] : bounds[end - 1, 1]] for first, end in runs]
    return "\n\n".join(part.rstrip() for part in parts)


def _ends(count: int, config: SplitConfig) -> tuple[int, int]:
    """Return the numbers of items after which the training part and the validation part end."""
    ends = (1.0 - config.validation - config.test, 1.0 - config.test)
    first, second = (int(share * count + 1e-6) for share in ends)  # 0.9 may be 0.8999…
    return first, second
