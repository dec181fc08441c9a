"""Find documents to score that occur in the text that a model was trained on.

Such documents improve a model's score unfairly. A user may score a model on its own training text.
The gate compares models of different corpora on the test documents of one of them, and some of
these may be in the training split of the other: if both corpora were made from the same text but
split differently (by position, at random or by source), or if paragraphs were edited in between.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from rnnlm.corpora.documents import iter_texts
from rnnlm.corpora.hashing import content_hash
from rnnlm.corpora.paragraphs import paragraphs

SHORTEST = 40
"""Least characters of a paragraph that counts. Shorter ones may be in two texts by chance."""


def trained_on(documents: Iterable[str], train_uri: str) -> NDArray[np.bool_]:
    """Return whether each document, or a paragraph of it, is in a given training split.

    Args:
        documents: The documents to look for.
        train_uri: Folder of the corpus with the training split. It is read once, and hardly any of
            it is kept in memory.

    Returns:
        True for each document that was trained on, shape (documents,).

    Raises:
        CorpusError: A folder contains no documents.
    """
    of_documents = [_hashes(text) for text in documents]
    wanted = set().union(*of_documents)
    found: set[int] = set()
    for text in iter_texts(train_uri, "train"):
        found |= wanted & _hashes(text)
    return np.array([not found.isdisjoint(hashes) for hashes in of_documents], dtype=np.bool_)


def _hashes(text: str) -> set[int]:
    """Return the hashes of a document and of its longer paragraphs, with whitespace normalised."""
    parts = {" ".join(text[start:end].split()) for start, end in paragraphs(text).tolist()}
    kept = {part for part in parts if len(part) >= SHORTEST}
    kept.add(" ".join(text.split()))
    return {content_hash(part) for part in kept}
