"""Load the native code for text, `text.c`, which setuptools builds if there is a compiler."""

from importlib import import_module
from typing import Any


def _load() -> Any:
    """Return the native module, or None if it was not built; Python then does the work."""
    try:
        return import_module("rnnlm.corpora._text")
    except ImportError:
        return None


text = _load()
