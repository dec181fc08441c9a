"""What a review leaves: its page and its pictures. This module does not import torch."""

from pydantic import BaseModel, ConfigDict

REVIEW_FILE = "review.html"


class Review(BaseModel):
    """A report page about a trained model, and its pictures.

    Attributes:
        uri: Folder of the page and the pictures.
        page: Path of the page.
        pictures: Paths of the pictures, which are also embedded in the page.
        digest: sha256 of the page.
    """

    model_config = ConfigDict(frozen=True)

    uri: str
    page: str
    pictures: tuple[str, ...]
    digest: str
