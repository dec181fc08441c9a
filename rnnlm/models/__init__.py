"""The recurrent language models, by name. A new one is a file here and a line in the table."""

from rnnlm.config import ModelConfig
from rnnlm.models.contract import LanguageModel, State, detach_state
from rnnlm.models.lstm import LSTMLanguageModel

ARCHITECTURES: dict[str, type[LanguageModel]] = {
    "lstm": LSTMLanguageModel,
}


def build(config: ModelConfig, vocab_size: int) -> LanguageModel:
    """Return a fresh model; weights come from torch's global generator."""
    return ARCHITECTURES[config.architecture](config, vocab_size)


__all__ = ["ARCHITECTURES", "LanguageModel", "State", "build", "detach_state"]
