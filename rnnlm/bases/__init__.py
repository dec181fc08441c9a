"""Bases (pretrained models that training starts from) that come with the package, with their cards.

`make base` writes them.
"""

import re
from pathlib import Path

SHIPPED = ("english",)
"""Names of the bases that come with the package."""


def shipped(name: str) -> Path:
    """Return the path of a base that comes with the package; the file may be missing."""
    return Path(__file__).with_name(f"base-{name}.safetensors")


def shipped_digest(name: str) -> str | None:
    """Return the sha256 of a base that comes with the package, as its card states it.

    Return None if there is no card, or if the card states no digest.
    """
    card = shipped(name).with_suffix(".md")
    stated = (
        re.search(r"sha256 `([0-9a-f]{64})`", card.read_text("utf-8")) if card.is_file() else None
    )
    return stated and stated[1]
