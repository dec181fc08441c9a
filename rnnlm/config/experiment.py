"""An experiment: everything that decides the result of a run, in one value."""

from typing import Self

from pydantic import Field, model_validator

from rnnlm.config.corpus import CorpusConfig, SplitConfig, TokenizerConfig
from rnnlm.config.generation import GenerationConfig
from rnnlm.config.model import ModelConfig
from rnnlm.config.retraining import GateConfig, RetrainingConfig
from rnnlm.config.strict import Config
from rnnlm.config.training import TrainingConfig


class Experiment(Config):
    """Everything that decides the result of a run."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")
    """Name of the model in the registry and of its folders under `data/`."""
    corpus: CorpusConfig
    """Where the text comes from."""
    splits: SplitConfig = SplitConfig()
    """Shares of the text that are held out for validation and testing."""
    tokenizer: TokenizerConfig = TokenizerConfig()
    """What a token is."""
    model: ModelConfig = ModelConfig()
    """The network."""
    training: TrainingConfig = TrainingConfig()
    """How to train the network."""
    generation: GenerationConfig = GenerationConfig()
    """The data set of texts that is generated after training."""
    gate: GateConfig = GateConfig()
    """Conditions for a version to become the champion."""
    retraining: RetrainingConfig = RetrainingConfig()
    """How to train again when the corpus has changed."""

    @model_validator(mode="after")
    def _tokens_of_a_base_need_one(self) -> Self:
        if self.tokenizer.kind == "base" and self.training.base == "none":
            raise ValueError("tokenizer.kind = 'base' needs training.base, such as 'english'")
        return self

    @model_validator(mode="after")
    def _splits_leave_training_text(self) -> Self:
        if self.splits.validation + self.splits.test > 0.8:
            raise ValueError("splits.validation + splits.test exceed 0.8: too little to train on")
        return self
