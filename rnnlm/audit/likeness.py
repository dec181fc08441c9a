"""Measure how much texts are like the corpus, by their bits per character under an n-gram model.

The n-gram model is called the *judge*. It is counted on the training split, and is independent of
the model that generated the texts. Texts that take far more bits than real text are unlike the
corpus. Texts that take far fewer are more predictable than the corpus, which is typical of low
sampling temperatures.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rnnlm import tokenizer
from rnnlm.audit.suffixes import write_array
from rnnlm.config import ModelConfig
from rnnlm.dataset import from_texts
from rnnlm.errors import CheckpointError, EmptySplitError
from rnnlm.metrics import Score
from rnnlm.ngram import NGramTables, count, score, tables_of
from rnnlm.saved import MEND, read_array, read_json
from rnnlm.storage import write_json
from rnnlm.tokenizer import Tokenizer, batches_of
from rnnlm.tokens import TokenArrays

MOST_TOKENS = 20_000_000
"""Most tokens of the training split that are counted, from its beginning."""

_TOKENIZER_FILE = "tokenizer.json"


class Judge:
    """An n-gram model with its tokenizer."""

    def __init__(self, tables: NGramTables, tokenizer: Tokenizer) -> None:
        self._tables, self._tokenizer = tables, tokenizer

    def score(self, texts: Sequence[str]) -> Score:
        """Return the score of some texts: their nats, tokens, characters and bytes.

        The boundary token that ends each text is included in the nats and tokens.
        """
        if not texts:
            return Score(0.0, 0, 0, 0)
        arrays = from_texts(self._tokenizer, texts)
        return Score(
            nll_nats=float(score(self._tables, arrays).sum()),
            tokens=len(arrays.tokens),
            characters=int(arrays.characters.sum()),
            bytes=int(arrays.bytes.sum()),
        )


def write_judge(
    folder: Path, texts: Iterable[str], words: Tokenizer, fitted: Path | None = None
) -> None:
    """Write an n-gram model into `folder`.

    Args:
        folder: Folder to write to; created if needed.
        texts: Texts of the training split, to count n-grams in; not read if `fitted` is given.
        words: Tokenizer for these texts.
        fitted: Checkpoint of an n-gram model to use instead of counting n-grams; None to count.

    Raises:
        CheckpointError: `fitted` cannot be read or contains another kind of model.
        EmptySplitError: The training split is empty.
        StorageError: A file cannot be written.
    """
    if fitted is not None:
        words, tables = _counted(fitted)
    else:
        order = ModelConfig.model_fields["ngram_order"].default
        tables = count(_first_tokens(texts, words), words.vocab_size, order)
    write_array(folder / "counts-1.npy", np.asarray(tables.unigram_counts))
    for n, table in enumerate(tables.orders, start=2):
        write_array(folder / f"keys-{n}.npy", np.asarray(table.keys))
        write_array(folder / f"counts-{n}.npy", np.asarray(table.counts))
    write_json(folder / _TOKENIZER_FILE, words.to_json())


def _counted(fitted: Path) -> tuple[Tokenizer, NGramTables]:
    """Return the tokenizer and the counts of an n-gram model's checkpoint."""
    from rnnlm import checkpoint  # noqa: PLC0415 - these import torch
    from rnnlm.models.ngram import NGramLanguageModel  # noqa: PLC0415

    loaded = checkpoint.load(fitted)
    if not isinstance(loaded.model, NGramLanguageModel):
        raise CheckpointError(
            f"{fitted} is {loaded.experiment.model.title} (expected an n-gram model); "
            "choose another checkpoint or none"
        )
    return loaded.tokenizer, loaded.model.tables


def open_judge(folder: Path) -> Judge:
    """Return the n-gram model that `write_judge` wrote; its arrays are memory-mapped."""
    orders = range(2, 2 + len([*folder.glob("keys-*.npy")]))
    tables = tables_of(
        read_array(folder / "counts-1.npy", MEND),
        [read_array(folder / f"keys-{n}.npy", MEND, mapped=True) for n in orders],
        [read_array(folder / f"counts-{n}.npy", MEND, mapped=True) for n in orders],
    )
    words = tokenizer.from_json(read_json(folder / _TOKENIZER_FILE, dict[str, Any], MEND))
    return Judge(tables, words)


def _first_tokens(texts: Iterable[str], words: Tokenizer) -> TokenArrays:
    """Return the first `MOST_TOKENS` tokens of the training split.

    The numbers of characters and bytes in the result are not set; they are 0.
    """
    tokens, lengths, total = [], [], 0
    for batch in batches_of(texts):
        encoded = words.encode_batch(batch)
        tokens.append(encoded.tokens)
        lengths.append(np.diff(encoded.offsets))
        total += len(encoded.tokens)
        if total >= MOST_TOKENS:
            break
    if not total:
        raise EmptySplitError("the training split has no text to count; provide more text")
    offsets = np.concatenate([[0], np.cumsum(np.concatenate(lengths))]).astype(np.int64)
    nothing = np.zeros(len(offsets) - 1, dtype=np.int64)
    arrays = TokenArrays(np.concatenate(tokens), offsets, nothing, nothing)
    return arrays.first(MOST_TOKENS) if total > MOST_TOKENS else arrays
