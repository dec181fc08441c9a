"""Find the test documents of a corpus that occur in the training split of another corpus.

Models that were trained on different corpora are compared on the test documents of one of them.
Some of these documents may be in the training split of the other model, which improves its score
unfairly. This can happen if the two corpora were made from the same text but split differently (by
position, at random or by source), or if paragraphs were edited between them.
"""

import numpy as np
from numpy.typing import NDArray

from rnnlm.corpora.documents import iter_texts
from rnnlm.corpora.hashing import content_hash
from rnnlm.corpora.paragraphs import paragraphs

SHORTEST = 40
"""Least characters of a paragraph that counts. Shorter ones may be in two texts by chance."""


def trained_on(test_uri: str, train_uri: str) -> NDArray[np.bool_]:
    """Return whether each test document, or a paragraph of it, is in a given training split.

    Args:
        test_uri: Folder of the corpus with the test documents.
        train_uri: Folder of the corpus with the training split. It is read once, and hardly any of
            it is kept in memory.

    Returns:
        True for each test document that was trained on, shape (test documents,).

    Raises:
        CorpusError: A folder contains no documents.
    """
    of_documents = [_hashes(text) for text in iter_texts(test_uri, "test")]
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
