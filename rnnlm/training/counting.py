"""Training the n-gram model: counting, then scoring the validation split once."""

import time
from pathlib import Path

from rnnlm import checkpoint, dataset
from rnnlm.config import Experiment
from rnnlm.evaluation import evaluate
from rnnlm.models import build
from rnnlm.models.ngram import NGramLanguageModel
from rnnlm.progress import OnProgress, Progress
from rnnlm.training.history import History
from rnnlm.training.position import Position

MOST_COUNTED = 30_000_000
"""Tokens of a training split from which on documents spread evenly over it are counted, not all:
counting takes some 25 bytes of memory for each."""


def count(tokens_uri: str, experiment: Experiment, path: Path, on_progress: OnProgress) -> Position:
    """Count the n-grams of the training split, or of `MOST_COUNTED` tokens of it; write the model.

    Raises:
        DatasetError: There are no shards.
        StorageError: The checkpoint cannot be written.
    """
    began = time.monotonic()
    tokenizer = dataset.load_tokenizer(tokens_uri)
    train = dataset.load_spread(tokens_uri, "train", MOST_COUNTED)
    validation = dataset.load_split(tokens_uri, "validation")
    model = build(experiment.model, tokenizer.vocab_size)
    assert isinstance(model, NGramLanguageModel)
    model.fit(train)
    score = evaluate(model, validation.first(experiment.training.validation_tokens)).score
    tokens = len(train.tokens)
    facts = {"step": 1, "tokens": tokens, **score.figures()}
    checkpoint.save(path, model, tokenizer, experiment, facts)
    seconds = time.monotonic() - began
    row = {
        "step": 1,
        "tokens": tokens,
        "seconds": seconds,
        "train/tokens_per_second": tokens / seconds,
        **score.metrics("validation"),
    }
    history = History(path.parent)
    history.cut(0)
    history.append(row)
    note = f"validation {score.bits_per_character:.3f} bits/character"
    on_progress(Progress(tokens, tokens, "tokens", note, 1, row))
    return Position(
        step=1,
        tokens=tokens,
        seconds=seconds,
        best_step=1,
        best_bits_per_character=score.bits_per_character,
    )
