"""The native code for text, `text.c`, which setuptools builds where there is a compiler."""

from importlib import import_module
from typing import Any


def _load() -> Any:
    """Return the module, or None where it was not built: then Python does the work."""
    try:
        return import_module("rnnlm.corpora._text")
    except ImportError:
        return None


text = _load()
