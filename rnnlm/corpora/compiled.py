"""Load the compiled form of `text.c`, which setuptools builds if there is a C compiler."""

from importlib import import_module
from typing import Any


def _load() -> Any:
    """Return the compiled module, or None if it was not built; Python code is then used instead."""
    try:
        return import_module("rnnlm.corpora._text")
    except ImportError:
        return None


text = _load()
