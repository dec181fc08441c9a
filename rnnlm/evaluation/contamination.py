"""Find the test documents of a corpus that occur in the training split of another corpus.

Models of two corpora are compared on the test documents of one of them. If a text was split by
position, by a shuffle or by source, or if its paragraphs were edited, some of these documents may
be in the training split of the other model and improve its score unfairly.
"""

import numpy as np
from numpy.typing import NDArray

from rnnlm.corpora.documents import iter_texts
from rnnlm.corpora.paragraphs import paragraphs
from rnnlm.corpora.splitting import content_hash

SHORTEST = 40
"""Least characters of a shared paragraph that does not occur in two texts by chance."""


def trained_on(test_uri: str, train_uri: str) -> NDArray[np.bool_]:
    """Return whether each test document, or a paragraph of it, is in another training split.

    Args:
        test_uri: Folder of the corpus with the test documents.
        train_uri: Folder of the corpus that was trained on; read once, hardly any kept in memory.

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
    """Return the hashes of a document and of its paragraphs, with whitespace normalised."""
    parts = {" ".join(text[start:end].split()) for start, end in paragraphs(text).tolist()}
    kept = {part for part in parts if len(part) >= SHORTEST}
    kept.add(" ".join(text.split()))
    return {content_hash(part) for part in kept}
