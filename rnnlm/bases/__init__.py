"""A base: a trained model whose network, tokens and weights another training run starts from.

A model trained on millions of words knows how words are spelled and how sentences are built; a
short text then only has to teach it what is special about that text. This folder also holds the
bases that come with the package, with their cards, which `make base` writes.

Source: pretraining once and fine-tuning for any task, Howard and Ruder 2018 (ULMFiT).
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
