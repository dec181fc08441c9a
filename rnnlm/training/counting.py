"""Train the n-gram model: count n-grams, then score the validation split once."""

import time
from pathlib import Path

from rnnlm import checkpoint, dataset
from rnnlm.canaries import plant
from rnnlm.config import Experiment
from rnnlm.evaluation.scoring import evaluate
from rnnlm.models import build
from rnnlm.models.ngram import NGramLanguageModel
from rnnlm.progress import OnProgress, Progress
from rnnlm.training.history import History
from rnnlm.training.run_state import Position

FEW_TOKENS = 1000
"""Largest vocabulary that counts as small, such as one of characters.

The n-grams of a small vocabulary mostly occur many times each, so counting them takes less memory
per token of text.
"""
MOST_COUNTED, MOST_COUNTED_OF_MANY = 30_000_000, 6_000_000
"""Most tokens of text to count: for vocabularies of up to `FEW_TOKENS`, and for larger ones.

With these limits, counting takes about a gigabyte of memory. If the training split is longer, only
a subset of its documents, spread evenly over the split, is counted.
"""


def count(tokens_uri: str, experiment: Experiment, path: Path, on_progress: OnProgress) -> Position:
    """Count the n-grams of the training split, or of part of it, and write the model to `path`.

    Of a long split, only a subset of documents is counted (see `MOST_COUNTED`). A row of metrics is
    written to the history next to `path`.

    Returns:
        A position with one step and the validation score.

    Raises:
        DatasetError: `tokens_uri` holds no token files.
        StorageError: The checkpoint cannot be written.
    """
    began = time.monotonic()
    tokenizer = dataset.load_tokenizer(tokens_uri)
    most = MOST_COUNTED if tokenizer.vocab_size <= FEW_TOKENS else MOST_COUNTED_OF_MANY
    documents = dataset.load_spread(tokens_uri, "train", most)
    train = plant(documents, experiment, tokenizer, path.parent)
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
