"""Which split a document belongs to: decided by its own text alone."""

import hashlib
from typing import Literal, get_args

from rnnlm.config import SplitConfig

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)


def split_of(document: str, config: SplitConfig) -> Split:
    """Return the split of a document, a pure function of its text.

    So adding a document never moves another, and two equal documents share a split.
    """
    digest = hashlib.blake2b(document.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    share = int.from_bytes(digest, "big") / 2.0**64
    if share < config.test:
        return "test"
    if share < config.test + config.validation:
        return "validation"
    return "train"
