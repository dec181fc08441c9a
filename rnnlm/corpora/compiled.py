"""Load the compiled forms of `text.c` and `cutting.c`, which setuptools builds."""

from importlib import import_module
from typing import Any


def _load(name: str) -> Any:
    """Return a compiled module, or None if it was not built; Python code is then used instead."""
    try:
        return import_module(f"rnnlm.corpora.{name}")
    except ImportError:
        return None


text = _load("_text")
cutting = _load("_cutting")
