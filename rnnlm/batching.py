"""Turn documents into windows of inputs and targets, for training and scoring by teacher forcing.

A window is the batch of tokens for one step, of shape (batch, time). Each of its rows, called
lanes, belongs to one document. The input at time t is the true token before the target at time t,
never the model's own prediction; the first input of a document is the boundary token.
"""

import heapq
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from rnnlm.tokens import BOUNDARY_ID, TokenArrays

POOL_BATCHES = 32
"""Shuffled documents are sorted by length within groups of this many batches, to save padding."""
BLOCK_TOKENS = 8192
"""Number of tokens per lane that are copied into windows at a time."""

_TENSOR_TYPES = {1: np.uint8, 2: np.int32, 4: np.int64}
"""The type of id tensors, by the number of bytes that an id takes in the token shards."""


@dataclass(frozen=True)
class Window:
    """The tokens of one step.

    Attributes:
        inputs: Token ids, shape (batch, time); of a narrow type, until `to` widens them.
        targets: The tokens that follow, shape (batch, time).
        mask: True where a target counts; padding is False; shape (batch, time).
        fresh: True where a lane begins a document, or a span (a part) of a long one, so that its
            recurrent state must be reset to the initial one; shape (batch,).
        documents: Index of each lane's document, -1 for an idle lane; shape (batch,).
        tokens: Number of targets that count.
    """

    inputs: Tensor
    targets: Tensor
    mask: Tensor
    fresh: Tensor
    documents: Tensor
    tokens: int

    def to(self, device: torch.device) -> "Window":
        """Return the window on a device, its ids as 64-bit integers, without waiting for a GPU.

        `documents` stays on the CPU; it is for bookkeeping only.
        """

        def there(tensor: Tensor) -> Tensor:
            if device.type == "cuda" and not tensor.is_cuda:
                return tensor.pin_memory().to(device, non_blocking=True)
            return tensor.to(device)

        return Window(
            inputs=there(self.inputs).long(),
            targets=there(self.targets).long(),
            mask=there(self.mask),
            fresh=there(self.fresh),
            documents=self.documents,
            tokens=self.tokens,
        )


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
            takes `bptt` tokens of its document per window, and continues with another document when
            that ends.
        batch_size: Number of lanes.
        bptt: Tokens per lane in a window of the `stream` feed; fewer if no lane has this many left.
        order: Generator that shuffles the documents; if None, the longest come first.
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
            block = _Block(arrays, len(documents), 1, int(lengths[documents].max()))
            for lane, document in enumerate(documents.tolist()):
                block.put(_Span(document, 0, int(lengths[document]), lane, 0), 0)
            yield from block.windows()


def _stream_windows(
    arrays: TokenArrays, batch_size: int, bptt: int, order: np.random.Generator | None
) -> Iterator[Window]:
    """Yield the windows of the `stream` feed.

    They are built in blocks of consecutive windows, so that a document's tokens are copied once per
    block instead of once per window.
    """
    queue = _spans(arrays, batch_size, order)
    lanes = min(batch_size, len(queue))
    count = max(1, BLOCK_TOKENS // bptt)
    waiting = iter(queue)
    free = [(0, lane) for lane in range(lanes)]  # heap: (window from which the lane is free, lane)
    carried: list[_Span] = []
    for first in itertools.count(0, count):
        active = carried
        while free[0][0] < first + count:
            document, start, end = next(waiting, (-1, 0, 0))
            if document < 0:
                break
            window, lane = free[0]
            active.append(_Span(document, start, end, lane, window))
            heapq.heapreplace(free, (window - (start - end) // bptt, lane))
        if not active:
            return
        block = _Block(arrays, lanes, count, bptt)
        carried = [span for span in active if not block.put(span, first)]
        yield from block.windows()


def _spans(
    arrays: TokenArrays, batch_size: int, order: np.random.Generator | None
) -> list[tuple[int, int, int]]:
    """Return the spans that lanes read: (document, start, end) in tokens, `end` exclusive.

    A span is a whole document. For training (`order` is given), a document longer than a lane's
    share of all tokens is cut into spans of that length, so that a single long text fills all
    lanes.
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


class _Span(NamedTuple):
    """Tokens `start` to `end` (exclusive) of a document, which `lane` reads from `window` on.

    `window` is the number of the window that the first of these tokens is in.
    """

    document: int
    start: int
    end: int
    lane: int
    window: int


class _Block:
    """Several consecutive windows of all lanes, stored end to end in the same arrays."""

    def __init__(self, arrays: TokenArrays, lanes: int, count: int, time: int) -> None:
        self._arrays, self._time = arrays, time
        shape = (lanes, count * time)
        kind = _TENSOR_TYPES[arrays.tokens.dtype.itemsize]
        self._inputs = np.full(shape, BOUNDARY_ID, dtype=kind)
        self._targets = np.full(shape, BOUNDARY_ID, dtype=kind)
        self._lengths = np.zeros((count, lanes), dtype=np.int64)
        self._documents = np.full((count, lanes), -1, dtype=np.int64)
        self._fresh = np.zeros((count, lanes), dtype=np.bool_)

    def put(self, span: _Span, first: int) -> bool:
        """Copy the part of a span that falls into this block; return whether the span ends in it.

        Args:
            span: The span to copy from.
            first: Number of the block's first window.
        """
        time, count = self._time, len(self._lengths)
        skipped = max(0, first - span.window) * time
        start = span.start + skipped
        place = max(0, span.window - first)
        taken = min(span.end - start, (count - place) * time)
        at = int(self._arrays.offsets[span.document]) + start
        tokens, column = self._arrays.tokens, place * time
        self._targets[span.lane, column : column + taken] = tokens[at : at + taken]
        self._inputs[span.lane, column + 1 : column + taken] = tokens[at : at + taken - 1]
        if start:
            self._inputs[span.lane, column] = tokens[at - 1]
        last = place + -(-taken // time)
        self._lengths[place:last, span.lane] = time
        self._lengths[last - 1, span.lane] = taken - (last - 1 - place) * time
        self._documents[place:last, span.lane] = span.document
        self._fresh[place, span.lane] = not skipped
        return start + taken == span.end

    def windows(self) -> Iterator[Window]:
        """Yield the windows that are not empty, each no longer than its longest lane."""
        inputs, targets = torch.from_numpy(self._inputs), torch.from_numpy(self._targets)
        mask = torch.from_numpy(np.arange(self._time) < self._lengths[:, :, None])
        fresh, documents = torch.from_numpy(self._fresh), torch.from_numpy(self._documents)
        times, tokens = self._lengths.max(axis=1).tolist(), self._lengths.sum(axis=1).tolist()
        for number, time in enumerate(times):
            if not time:
                return
            start = number * self._time
            yield Window(
                inputs=inputs[:, start : start + time],
                targets=targets[:, start : start + time],
                mask=mask[number, :, :time],
                fresh=fresh[number],
                documents=documents[number],
                tokens=tokens[number],
            )
