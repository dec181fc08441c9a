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
from rnnlm.training.run_state import Position

FEW_TOKENS = 1000
"""Largest vocabulary whose n-grams mostly occur many times, as those of characters do."""
MOST_COUNTED, MOST_COUNTED_OF_MANY = 30_000_000, 6_000_000
"""Most tokens to count: for vocabularies of up to `FEW_TOKENS`, and for larger ones.

Counting then takes about a gigabyte. Of a longer split, only documents spread evenly over it are
counted.
"""


def count(tokens_uri: str, experiment: Experiment, path: Path, on_progress: OnProgress) -> Position:
    """Count the n-grams of the training split, or of an even sample of it, and write the model.

    Raises:
        DatasetError: There are no shards.
        StorageError: The checkpoint cannot be written.
    """
    began = time.monotonic()
    tokenizer = dataset.load_tokenizer(tokens_uri)
    most = MOST_COUNTED if tokenizer.vocab_size <= FEW_TOKENS else MOST_COUNTED_OF_MANY
    train = dataset.load_spread(tokens_uri, "train", most)
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
