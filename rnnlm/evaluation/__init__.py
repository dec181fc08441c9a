"""Scoring texts: once per token, with intervals, adaptively, and against the n-gram model."""

from rnnlm.evaluation.adaptive import Cache, Dynamic, evaluate_dynamically, evaluate_with_cache
from rnnlm.evaluation.held_out import (
    SCORES_FILE,
    TestScores,
    figures_beside,
    score_test_split,
)
from rnnlm.evaluation.intervals import bits_per_character_interval
from rnnlm.evaluation.scoring import Evaluation, evaluate

__all__ = [
    "SCORES_FILE",
    "Cache",
    "Dynamic",
    "Evaluation",
    "TestScores",
    "bits_per_character_interval",
    "evaluate",
    "evaluate_dynamically",
    "evaluate_with_cache",
    "figures_beside",
    "score_test_split",
]
