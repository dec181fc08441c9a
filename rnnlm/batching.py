"""Documents to windows of inputs and targets: the one place that says what teacher forcing is.

The input at time t is the true token before the target at time t, never the model's own guess; the
first input of a document is the boundary. A row of a window (a lane) belongs to one document.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rnnlm.dataset import TokenArrays
from rnnlm.tokenizer import BOUNDARY_ID

POOL_BATCHES = 32
"""Batches' worth of shuffled documents that are sorted by length together, to save padding."""


@dataclass(frozen=True)
class Window:
    """A step's worth of tokens.

    Attributes:
        inputs: Token ids, shape (batch, time).
        targets: The tokens that follow, shape (batch, time).
        mask: True where a target counts; padding is False; shape (batch, time).
        fresh: True where a lane begins a document, or a span of a long one, and its state must be
            the initial one; shape (batch,).
        documents: Index of each lane's document, -1 for an idle lane; shape (batch,).
    """

    inputs: Tensor
    targets: Tensor
    mask: Tensor
    fresh: Tensor
    documents: Tensor

    @property
    def tokens(self) -> int:
        """Targets that count."""
        return int(self.mask.sum())

    def to(self, device: torch.device) -> "Window":
        """Return the window on another device."""
        tensors = (self.inputs, self.targets, self.mask, self.fresh, self.documents)
        return self if device.type == "cpu" else Window(*(t.to(device) for t in tensors))


def windows(
    arrays: TokenArrays,
    feed: Literal["documents", "stream"],
    batch_size: int,
    bptt: int,
    order: np.random.Generator | None = None,
) -> Iterator[Window]:
    """Yield windows in which every token of `arrays` is a target exactly once.

    Args:
        arrays: A split.
        feed: `documents`: a window holds whole documents of similar length. `stream`: each lane
            takes `bptt` tokens of its document at a time and the next document when that ends.
        batch_size: Lanes.
        bptt: Tokens per window of the `stream` feed; fewer where no lane has so many left.
        order: Shuffles the documents; None takes the longest first.
    """
    if feed == "documents":
        return _document_windows(arrays, batch_size, order)
    return _stream_windows(arrays, batch_size, bptt, order)


def _document_windows(
    arrays: TokenArrays, batch_size: int, order: np.random.Generator | None
) -> Iterator[Window]:
    lengths = arrays.lengths
    if order is None:
        shuffled = np.argsort(-lengths, kind="stable")
        pools = [shuffled]
    else:
        shuffled = order.permutation(len(lengths))
        pool = batch_size * POOL_BATCHES
        pools = [shuffled[start : start + pool] for start in range(0, len(shuffled), pool)]
    for pool_documents in pools:
        by_length = pool_documents[np.argsort(-lengths[pool_documents], kind="stable")]
        starts = np.arange(0, len(by_length), batch_size)
        for start in starts if order is None else order.permutation(starts):
            documents = by_length[start : start + batch_size]
            none = np.zeros_like(documents)
            yield _window(
                arrays,
                documents,
                none,
                int(lengths[documents].max()),
                lengths[documents],
                none == 0,
            )


def _stream_windows(
    arrays: TokenArrays, batch_size: int, bptt: int, order: np.random.Generator | None
) -> Iterator[Window]:
    spans = _spans(arrays, batch_size, order)
    queue = iter(spans)
    lanes = min(batch_size, len(spans))
    documents = np.full(lanes, -1, dtype=np.int64)
    starts, positions, ends = np.zeros((3, lanes), dtype=np.int64)
    while True:
        for lane in np.flatnonzero((documents < 0) | (positions >= ends)):
            documents[lane], starts[lane], ends[lane] = next(queue, (-1, 0, 0))
            positions[lane] = starts[lane]
        if (documents < 0).all():
            return
        longest = int((ends - positions)[documents >= 0].max())
        yield _window(arrays, documents, positions, min(bptt, longest), ends, positions == starts)
        positions = positions + bptt


def _spans(
    arrays: TokenArrays, batch_size: int, order: np.random.Generator | None
) -> list[tuple[int, int, int]]:
    """Return (document, first token, one past its last) of what a lane takes at a time.

    That is a document; for training, one that is longer than a lane's share of all tokens is cut
    into spans of that length, so that a single long text fills all lanes.
    """
    lengths = arrays.lengths
    if order is None:
        longest_first = np.argsort(-lengths, kind="stable").tolist()
        return [(document, 0, int(lengths[document])) for document in longest_first]
    share = max(1, -(-len(arrays.tokens) // batch_size))
    spans = [
        (document, start, min(start + share, length))
        for document, length in enumerate(lengths.tolist())
        for start in range(0, length, share)
    ]
    return [spans[place] for place in order.permutation(len(spans))]


def _window(
    arrays: TokenArrays,
    documents: NDArray[np.int64],
    positions: NDArray[np.int64],
    time: int,
    ends: NDArray[np.int64],
    fresh: NDArray[np.bool_],
) -> Window:
    """Cut `time` tokens from each document at its position; what is past `ends` is masked."""
    active = documents >= 0
    lengths = np.where(active, ends, 0)
    steps = positions[:, None] + np.arange(time)
    mask = steps < lengths[:, None]
    places = np.minimum(arrays.offsets[documents][:, None] + steps, len(arrays.tokens) - 1)
    targets = np.where(mask, arrays.tokens[places], BOUNDARY_ID).astype(np.int64)
    before = arrays.tokens[np.maximum(places[:, :1] - 1, 0)]
    first = np.where((positions[:, None] > 0) & mask[:, :1], before, BOUNDARY_ID)
    inputs = np.concatenate([first.astype(np.int64), targets[:, :-1]], axis=1)
    return Window(
        inputs=torch.from_numpy(inputs),
        targets=torch.from_numpy(targets),
        mask=torch.from_numpy(mask),
        fresh=torch.from_numpy(fresh),
        documents=torch.from_numpy(documents.copy()),
    )
