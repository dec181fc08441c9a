"""Score a text: predict every token exactly once, and sum the nats per piece and per document.

A piece is a run of at most `PIECE_TOKENS` tokens of a document. A batch has several *lanes*: each
lane reads one document at a time, window by window, while the model's state is carried along.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from rnnlm import ngram
from rnnlm.batching import Window, windows
from rnnlm.devices import one_thread
from rnnlm.errors import EmptySplitError
from rnnlm.evaluation.results import Evaluation
from rnnlm.models import LanguageModel
from rnnlm.models.ngram import NGramLanguageModel
from rnnlm.progress import OnProgress, Progress, silent
from rnnlm.tokens import TokenArrays

BATCH_SIZE = 64
WINDOW_TOKENS = 128
PIECE_TOKENS = 1024
"""Most tokens of a piece. Confidence intervals resample pieces if there are few documents."""
MOST_LOGITS = 1 << 26
"""Most logits in memory at once; they take a quarter of a gigabyte."""

NatsOf = Callable[[Window], Tensor]
"""A function that returns the nats of each target token of the next window, shape (batch, time).
It is called with all windows of a text in order."""


def evaluate(
    model: LanguageModel,
    arrays: TokenArrays,
    unknown_id: int | None = None,
    on_progress: OnProgress = silent,
) -> Evaluation:
    """Score every token exactly once.

    The model's state is reset at the beginning of each document, and kept until its end.

    Args:
        model: The model; set to eval mode while scoring, then restored.
        arrays: The documents to score.
        unknown_id: Id of the token that is counted as unknown; None to count none.
        on_progress: Called with the number of tokens scored.

    Raises:
        EmptySplitError: There is nothing to score.

    Source: the negative log-likelihood of Mikolov et al. 2010, section 2.
    """
    pieces = Pieces(arrays, unknown_id)
    if isinstance(model, NGramLanguageModel):  # the probability of one token is enough
        return pieces.of_tokens(ngram.score(model.tables, arrays))
    lanes = max(1, min(BATCH_SIZE, MOST_LOGITS // (WINDOW_TOKENS * model.vocab_size)))
    state = None

    def nats_of(batch: Window) -> Tensor:
        nonlocal state
        window = batch.to(model.device)
        before = model.initial_state(len(window.fresh)) if state is None else state
        logits, state = model(window.inputs, model.reset_state(before, window.fresh))
        return nats_per_target(logits, window)

    was_training = model.training
    model.eval()
    with torch.inference_mode(), one_thread(model.wants_one_thread):
        result = pieces.of_windows(nats_of, lanes, WINDOW_TOKENS, on_progress)
    model.train(was_training)
    return result


def nats_per_target(logits: Tensor, window: Window) -> Tensor:
    """Return −log ŷ⁽ᵗ⁾, the negative log-likelihood of each target token, shape (batch, time)."""
    flat = logits.float().flatten(0, 1)
    nats = functional.cross_entropy(flat, window.targets.flatten(), reduction="none")
    return nats.view_as(window.mask)


class Pieces:
    """Cuts a text into pieces and sums the nats of their tokens."""

    def __init__(self, arrays: TokenArrays, unknown_id: int | None = None) -> None:
        """Cut each document into pieces of at most `PIECE_TOKENS` tokens.

        Raises:
            EmptySplitError: There is nothing to score.
        """
        if not len(arrays.tokens):
            raise EmptySplitError("nothing to score: the text has no document; provide more text")
        self._arrays = arrays
        counts = -(-arrays.lengths // PIECE_TOKENS)
        self._offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
        documents = np.repeat(np.arange(len(counts)), counts)
        numbers = np.arange(len(documents)) - self._offsets[documents]
        starts = arrays.offsets[documents] + numbers * PIECE_TOKENS
        self._starts = starts
        self._tokens = np.diff(starts, append=len(arrays.tokens))
        self._unknown = np.zeros(len(starts), np.int64)
        if unknown_id is not None:
            is_unknown = np.asarray(arrays.tokens == unknown_id)
            self._unknown = np.add.reduceat(is_unknown, starts, dtype=np.int64)

    def of_tokens(self, nats: NDArray[np.float64]) -> Evaluation:
        """Return the evaluation for given nats of each token, shape (tokens,)."""
        return self._evaluation(np.add.reduceat(nats, self._starts))

    def of_windows(
        self, nats_of: NatsOf, lanes: int, time: int, on_progress: OnProgress = silent
    ) -> Evaluation:
        """Read the text window by window, each document in one lane; return the nats per piece.

        Args:
            nats_of: Returns the nats of a window's tokens; called with each window in turn.
            lanes: Number of documents that are read together.
            time: Number of tokens per lane of a window; must divide `PIECE_TOKENS`.
            on_progress: Called with the number of tokens scored.
        """
        nats = np.zeros(len(self._tokens))
        read = np.zeros(len(self._arrays.lengths), dtype=np.int64)
        done = 0
        for batch in windows(self._arrays, "stream", lanes, time):
            each = nats_of(batch)
            sums = (each * batch.mask.to(each.device)).sum(dim=1, dtype=torch.float64)
            busy = batch.documents >= 0
            documents = batch.documents[busy].numpy()
            pieces = self._offsets[documents] + read[documents] // PIECE_TOKENS
            np.add.at(nats, pieces, sums.detach().cpu().numpy()[busy.numpy()])
            read[documents] += batch.mask.sum(dim=1)[busy].numpy()
            done += batch.tokens
            on_progress(Progress(done, len(self._arrays.tokens), "tokens"))
        return self._evaluation(nats)

    def _evaluation(self, nats: NDArray[np.float64]) -> Evaluation:
        return Evaluation(nats, self._tokens, self._offsets, self._arrays, self._unknown)
