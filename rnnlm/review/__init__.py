"""The report page of a trained model.

Each module makes a part of the page:

passages    where the model is surprised (predicts badly), character by character
embeddings  which tokens the model treats as similar
curves      how the model learned
documents   the model compared with an n-gram model, document by document
writing     what the model writes at several temperatures
markup      the HTML frame, the style sheet, and small elements of the page
page        the whole page in one HTML file
"""

from rnnlm.review.by_document import draw_documents
from rnnlm.review.curves import draw_curves
from rnnlm.review.embeddings import Projection, draw_embeddings, project_embeddings
from rnnlm.review.page import REVIEW_FILE, Review, write_review
from rnnlm.review.passages import Extremes, Passage, Piece, find_extremes, token_nats

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
    "token_nats",
    "write_review",
]
