"""The language models by name. To add one, add a file here and a line to `ARCHITECTURES`."""

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
    """Return a new model, whose weights are drawn from torch's global generator."""
    return ARCHITECTURES[config.architecture](config, vocab_size)


__all__ = [
    "ARCHITECTURES",
    "LanguageModel",
    "NeuralLanguageModel",
    "State",
    "build",
    "detach_state",
]
