"""The report page of a trained model, and what stands on it.

passages    where it is surprised, character by character
embeddings  which tokens it takes for alike
curves      how it learned
documents   how it does against the n-grams, document by document
drawing     what the pictures have in common
markup      the frame, the style and the small parts of the page
page        all of it in one HTML file
"""

from rnnlm.review.curves import draw_curves
from rnnlm.review.documents import draw_documents
from rnnlm.review.embeddings import Projection, draw_embeddings, project_embeddings
from rnnlm.review.page import REVIEW_FILE, Review, write_review
from rnnlm.review.passages import Extremes, Passage, Piece, find_extremes, spread, token_nats

__all__ = [
    "REVIEW_FILE",
    "Extremes",
    "Passage",
    "Piece",
    "Projection",
    "Review",
    "draw_curves",
    "draw_documents",
    "draw_embeddings",
    "find_extremes",
    "project_embeddings",
    "spread",
    "token_nats",
    "write_review",
]
