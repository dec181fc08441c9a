"""Which test documents of a corpus another corpus has for training.

Models of two corpora are compared on the test documents of one. Where a text was split by position,
by a shuffle or by source, or its paragraphs were edited, some of these may stand in what the other
model was trained on, and would flatter it.
"""

import numpy as np
from numpy.typing import NDArray

from rnnlm.corpora.documents import iter_texts
from rnnlm.corpora.paragraphs import paragraphs
from rnnlm.corpora.splitting import content_hash

SHORTEST = 40
"""Characters from which on a paragraph that two texts share is no chance."""


def trained_on(test_uri: str, train_uri: str) -> NDArray[np.bool_]:
    """Return which test documents stand, whole or by a paragraph, in another training split.

    Args:
        test_uri: Folder of the corpus whose test documents are meant.
        train_uri: Folder of the corpus that was trained on; read once, little of it held.

    Returns:
        True for each test document that was trained on, shape (test documents,).

    Raises:
        CorpusError: A folder holds no documents.
    """
    of_documents = [_hashes(text) for text in iter_texts(test_uri, "test")]
    wanted = set().union(*of_documents)
    found: set[int] = set()
    for text in iter_texts(train_uri, "train"):
        found |= wanted & _hashes(text)
    return np.array([not found.isdisjoint(hashes) for hashes in of_documents], dtype=np.bool_)


def _hashes(text: str) -> set[int]:
    """Return the hashes of a document and of its paragraphs, white space squeezed."""
    parts = {" ".join(text[start:end].split()) for start, end in paragraphs(text).tolist()}
    kept = {part for part in parts if len(part) >= SHORTEST}
    kept.add(" ".join(text.split()))
    return {content_hash(part) for part in kept}
