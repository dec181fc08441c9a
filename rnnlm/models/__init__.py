"""The language models of all architectures; `build` makes one from its configuration.

To add an architecture, add a file here and a line to `ARCHITECTURES`; docs/architecture.md has an
example.
"""

from collections.abc import Callable
from functools import partial

from rnnlm.config import ModelConfig
from rnnlm.models.contract import LanguageModel, NeuralLanguageModel, State, detach_state
from rnnlm.models.gru import GRULayer
from rnnlm.models.lstm import LSTMLayer
from rnnlm.models.mingru import MinGRULanguageModel
from rnnlm.models.mogrifier import MogrifierLayer
from rnnlm.models.ngram import NGramLanguageModel
from rnnlm.models.simple import SimpleLayer
from rnnlm.models.stack import StackedLanguageModel

ARCHITECTURES: dict[str, Callable[[ModelConfig, int], LanguageModel]] = {
    "simple": partial(StackedLanguageModel, layer_type=SimpleLayer),
    "gru": partial(StackedLanguageModel, layer_type=GRULayer),
    "lstm": partial(StackedLanguageModel, layer_type=LSTMLayer),
    "mogrifier": partial(StackedLanguageModel, layer_type=MogrifierLayer),
    "mingru": MinGRULanguageModel,
    "ngram": NGramLanguageModel,
}


def build(config: ModelConfig, vocab_size: int) -> LanguageModel:
    """Return a new model; its weights are drawn with torch's global random generator.

    Args:
        config: Architecture and sizes of the model.
        vocab_size: Number of tokens in the vocabulary.
    """
    return ARCHITECTURES[config.architecture](config, vocab_size)


__all__ = [
    "ARCHITECTURES",
    "LanguageModel",
    "NeuralLanguageModel",
    "State",
    "build",
    "detach_state",
]
