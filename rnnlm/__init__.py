"""Recurrent language models: train them on texts, and generate data sets of texts with them.

    import rnnlm

    model = rnnlm.train("mybook.txt")
    model.sample(5, prefix="The ", temperature=0.7)
    model.score("some text").bits_per_character
    for text in rnnlm.load("mybook").generate(1_000_000, unique=True):
        ...

The library uses PyTorch and Arrow but neither Prefect nor MLflow; `flows` connects it to both.
Importing this package imports nothing heavy: the names below are imported when they are first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rnnlm.config import Experiment
    from rnnlm.errors import RnnlmError
    from rnnlm.interface.finding_models import load
    from rnnlm.interface.samples import Samples
    from rnnlm.interface.text_training import train
    from rnnlm.interface.texts_model import Model

__version__ = "1.0.0"
__all__ = ["Experiment", "Model", "RnnlmError", "Samples", "load", "train"]

_PLACES = {
    "Experiment": "rnnlm.config",
    "Model": "rnnlm.interface.texts_model",
    "RnnlmError": "rnnlm.errors",
    "Samples": "rnnlm.interface.samples",
    "load": "rnnlm.interface.finding_models",
    "train": "rnnlm.interface.text_training",
}


def __getattr__(name: str) -> Any:
    """Import a name of the interface when it is first used (PEP 562)."""
    if name not in _PLACES:
        raise AttributeError(f"module 'rnnlm' has no attribute {name!r}")
    return getattr(import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    """Return the names of the interface."""
    return sorted({*globals(), *__all__})
