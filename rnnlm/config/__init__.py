"""The configuration of an experiment: one TOML file, read into one immutable, validated value.

A configuration contains everything that decides a result, so its digest identifies the result.
Faults, such as a misspelt key or a number out of range, are reported all at once, each with the
dotted path of its key.
"""

from rnnlm.config.corpus import (
    CleaningConfig,
    CorpusConfig,
    Reader,
    ReadingConfig,
    SourceConfig,
    SplitConfig,
    TokenizerConfig,
)
from rnnlm.config.experiment import Experiment
from rnnlm.config.generation import COMPARING, MAX_COUNT, GenerationConfig, SamplingConfig
from rnnlm.config.loading import from_values, load, override, shorten
from rnnlm.config.model import ModelConfig
from rnnlm.config.retraining import GateConfig, RetrainingConfig
from rnnlm.config.strict import Config
from rnnlm.config.training import Budget, TrainingConfig, parse_budget

__all__ = [
    "COMPARING",
    "MAX_COUNT",
    "Budget",
    "CleaningConfig",
    "Config",
    "CorpusConfig",
    "Experiment",
    "GateConfig",
    "GenerationConfig",
    "ModelConfig",
    "Reader",
    "ReadingConfig",
    "RetrainingConfig",
    "SamplingConfig",
    "SourceConfig",
    "SplitConfig",
    "TokenizerConfig",
    "TrainingConfig",
    "from_values",
    "load",
    "override",
    "parse_budget",
    "shorten",
]
