"""Score how well a model predicts texts, so that every token counts exactly once.

Scores have confidence intervals, and are compared with those of n-gram models. Adaptive evaluation
scores a model that keeps learning from the text that it reads.
"""

from rnnlm.evaluation.adaptive import Cache, Dynamic, evaluate_dynamically, evaluate_with_cache
from rnnlm.evaluation.comparison import Comparison, TextNats, compare
from rnnlm.evaluation.contamination import trained_on
from rnnlm.evaluation.exposure import CanaryScore, by_repeats, score_canaries
from rnnlm.evaluation.held_out import (
    CHARACTERS,
    NATS_FILE,
    NGRAM_NATS_FILE,
    SCORES_FILE,
    TestScores,
    figures_beside,
    score_corpus,
    score_test_split,
    yardstick,
)
from rnnlm.evaluation.intervals import bits_per_character_interval
from rnnlm.evaluation.scoring import Evaluation, evaluate

__all__ = [
    "CHARACTERS",
    "NATS_FILE",
    "NGRAM_NATS_FILE",
    "SCORES_FILE",
    "Cache",
    "CanaryScore",
    "Comparison",
    "Dynamic",
    "Evaluation",
    "TestScores",
    "TextNats",
    "bits_per_character_interval",
    "by_repeats",
    "compare",
    "evaluate",
    "evaluate_dynamically",
    "evaluate_with_cache",
    "figures_beside",
    "score_canaries",
    "score_corpus",
    "score_test_split",
    "trained_on",
    "yardstick",
]
