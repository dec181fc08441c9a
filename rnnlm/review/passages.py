"""Find passages that a model predicts badly or well, with the surprise of each character.

The surprise of a token is its negative log-likelihood under the model, in nats or bits. It is
divided among the token's characters.

The scores of a test split show which documents, or pieces of up to 1,024 tokens of them, are the
hardest and the easiest to predict. Only these pieces are scored again, token by token, with the
model and with an n-gram model. A passage is the part of a piece that is shown.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from rnnlm import ngram
from rnnlm.batching import windows
from rnnlm.devices import one_thread
from rnnlm.errors import DatasetError
from rnnlm.evaluation.comparison import TextNats
from rnnlm.evaluation.scoring import MOST_LOGITS, PIECE_TOKENS, WINDOW_TOKENS, nats_per_target
from rnnlm.metrics import NATS_PER_BIT
from rnnlm.models import LanguageModel
from rnnlm.models.ngram import NGramLanguageModel
from rnnlm.surprise import END_MARK, spread
from rnnlm.tokenizer import Tokenizer
from rnnlm.tokens import TokenArrays

PASSAGES = 6
"""Number of hardest passages that are shown, and of easiest passages."""
SHOWN_CHARACTERS = 400
"""Most characters of a passage."""
CONTEXT_TOKENS = 2048
"""Most tokens before a piece that the model reads first, to get into the state in which it would
read the piece. At the beginning of a document, there are none."""
MOST_PRODUCTS = 1 << 40
"""Most multiplications to compute, so that a large model does not take too long. They are estimated
as the number of weights times the number of tokens."""
TINY = 0.5
"""Pieces shorter than this share of the median length are left out, because their scores depend too
much on chance."""
_CUT = 30
"""Most characters by which each end of a passage is shortened, so that it does not cut a word."""


class Piece(NamedTuple):
    """A run of consecutive tokens of a document of the test split.

    Attributes:
        document: Index of the document.
        start: Index of the first token in the document.
        end: One past the index of the last token.
    """

    document: int
    start: int
    end: int


class Passage(BaseModel):
    """A text with the bits that each of its characters cost.

    Attributes:
        document: Index of the passage's document in the test split.
        is_whole: Whether the passage is the whole document.
        text: The text to show; `END_MARK` at its end stands for the boundary token.
        bits: Bits of each character of `text` under the model.
        ngram_bits: Bits of each character of `text` under the n-gram model.
    """

    model_config = ConfigDict(frozen=True)

    document: int
    is_whole: bool
    text: str
    bits: tuple[float, ...]
    ngram_bits: tuple[float, ...]

    @property
    def bits_per_character(self) -> float:
        """Bits per character under the model.

        They include the bits of the boundary token, which does not count as a character.
        """
        return sum(self.bits) / self._characters

    @property
    def ngram_bits_per_character(self) -> float:
        """Bits per character under the n-gram model; see `bits_per_character`."""
        return sum(self.ngram_bits) / self._characters

    @property
    def _characters(self) -> int:
        return max(1, len(self.text.removesuffix(END_MARK)))


class Extremes(NamedTuple):
    """The hardest and the easiest passages of a test split.

    Attributes:
        hardest: Passages with the most bits per character, the hardest first.
        easiest: Passages with the fewest bits per character, the easiest first.
    """

    hardest: tuple[Passage, ...]
    easiest: tuple[Passage, ...]


def find_extremes(
    model: LanguageModel,
    ngrams: LanguageModel,
    tokenizer: Tokenizer,
    arrays: TokenArrays,
    scores: TextNats,
    count: int = PASSAGES,
) -> Extremes:
    """Return the hardest and the easiest passages of a test split.

    Args:
        model: The model; set to eval mode while scoring, then restored.
        ngrams: The n-gram model that the model is compared with.
        tokenizer: Tokenizer of both models.
        arrays: The test split.
        scores: The model's scores on the test split.
        count: Number of hardest passages, and of easiest passages. There are fewer for a large
            model or a small split.

    Raises:
        DatasetError: The scores are of another text.
    """
    affordable = MOST_PRODUCTS // max(1, model.parameter_count) // (2 * PIECE_TOKENS)
    count = max(1, min(count, affordable))
    hardest, easiest = choose_pieces(arrays, scores, count)
    chosen = [*hardest, *easiest]
    left = MOST_PRODUCTS // max(1, model.parameter_count) // len(chosen) - PIECE_TOKENS
    context = max(0, min(CONTEXT_TOKENS, left))
    nats = piece_nats(model, arrays, chosen, context)
    ngram_nats = piece_nats(ngrams, arrays, chosen, context)
    passages = []
    for number, piece in enumerate(chosen):
        ids = _ids(arrays, piece)
        text, bits = spread(tokenizer, ids, nats[number] / NATS_PER_BIT)
        _, ngram_bits = spread(tokenizer, ids, ngram_nats[number] / NATS_PER_BIT)
        cut = _window(text, bits, hardest=number < len(hardest))
        passages.append(
            Passage(
                document=piece.document,
                is_whole=piece.end - piece.start == arrays.lengths[piece.document]
                and cut == slice(0, len(text)),
                text=text[cut],
                bits=tuple(bits[cut].tolist()),
                ngram_bits=tuple(ngram_bits[cut].tolist()),
            )
        )
    return Extremes(
        tuple(sorted(passages[: len(hardest)], key=lambda p: -p.bits_per_character)),
        tuple(sorted(passages[len(hardest) :], key=lambda p: p.bits_per_character)),
    )


def choose_pieces(
    arrays: TokenArrays, scores: TextNats, count: int
) -> tuple[list[Piece], list[Piece]]:
    """Return the pieces with the most and with the fewest bits per character.

    A piece is a whole document, or up to `PIECE_TOKENS` tokens of a longer document. Such a part is
    assumed to have as many characters per token as the whole document. Tiny pieces (see `TINY`) are
    left out, and no piece is in both lists.

    Args:
        arrays: The test split.
        scores: A model's scores on the test split.
        count: Most pieces in each list.

    Raises:
        DatasetError: The scores are of another text.
    """
    lengths = arrays.lengths
    counts = -(-lengths // PIECE_TOKENS)
    same = np.array_equal(arrays.characters, scores.characters)
    if not same or counts.sum() != len(scores.pieces):
        raise DatasetError(
            f"the scores are of {len(scores.characters):,} other documents than the "
            f"{len(lengths):,} of the test split; score the checkpoint on this split"
        )
    documents = np.repeat(np.arange(len(lengths)), counts)
    firsts = np.cumsum(counts) - counts
    starts = (np.arange(len(documents)) - firsts[documents]) * PIECE_TOKENS
    tokens = np.minimum(lengths[documents] - starts, PIECE_TOKENS)
    characters = tokens * (arrays.characters / lengths)[documents]
    eligible = np.flatnonzero(characters >= max(1.0, TINY * float(np.median(characters))))
    if not len(eligible):
        eligible = np.arange(len(documents))
    rates = scores.pieces[eligible] / np.maximum(characters[eligible], 1.0)
    order = eligible[np.argsort(rates, kind="stable")]
    count = max(1, min(count, len(order) // 2))

    def pieces(places: NDArray[np.int64]) -> list[Piece]:
        return [
            Piece(int(documents[p]), int(starts[p]), int(starts[p] + tokens[p])) for p in places
        ]

    return pieces(order[::-1][:count]), pieces(order[: min(count, len(order) - count)])


def piece_nats(
    model: LanguageModel, arrays: TokenArrays, pieces: Sequence[Piece], context: int
) -> list[NDArray[np.float64]]:
    """Return for each piece the nats of its tokens, shape (tokens of the piece,).

    The model first reads at most `context` tokens before a piece, as if a document began there. If
    the piece begins its document, or with enough context, the nats are the same as when the whole
    document is read.

    Args:
        model: The model; set to eval mode while scoring, then restored.
        arrays: The documents that contain the pieces.
        pieces: The pieces to score.
        context: Most tokens read before a piece.
    """
    before = [min(context, piece.start) for piece in pieces]
    read = [
        _ids(arrays, piece._replace(start=piece.start - own))
        for piece, own in zip(pieces, before, strict=True)
    ]
    if not read:
        return []
    lengths = np.array([len(ids) for ids in read], dtype=np.int64)
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    nats = token_nats(model, TokenArrays(np.concatenate(read), offsets, lengths, lengths))
    return [
        nats[start + own : end]
        for (start, end), own in zip(pairwise(offsets.tolist()), before, strict=True)
    ]


def token_nats(model: LanguageModel, arrays: TokenArrays) -> NDArray[np.float64]:
    """Return the nats of every token of some documents, shape (tokens,).

    Args:
        model: The model; set to eval mode while scoring, then restored.
        arrays: The documents; the model starts each from its initial state.
    """
    if isinstance(model, NGramLanguageModel):
        return np.asarray(ngram.score(model.tables, arrays), dtype=np.float64)
    nats = np.zeros(len(arrays.tokens))
    places = arrays.offsets[:-1].copy()
    lanes = max(1, min(len(places), MOST_LOGITS // (WINDOW_TOKENS * model.vocab_size)))
    state = None
    was_training = model.training
    model.eval()
    with torch.inference_mode(), one_thread(model.wants_one_thread):
        for batch in windows(arrays, "stream", lanes, WINDOW_TOKENS):
            window = batch.to(model.device)
            if state is None:
                state = model.initial_state(len(window.fresh))
            logits, state = model(window.inputs, model.reset_state(state, window.fresh))
            found = nats_per_target(logits, window).cpu().numpy()
            sizes = batch.mask.sum(dim=1).tolist()
            for lane, document in enumerate(batch.documents.tolist()):
                if document >= 0:
                    start = int(places[document])
                    nats[start : start + sizes[lane]] = found[lane, : sizes[lane]]
                    places[document] += sizes[lane]
    model.train(was_training)
    return nats


def _window(text: str, bits: NDArray[np.float64], *, hardest: bool) -> slice:
    """Return the slice of a text that is shown as a passage.

    It is the stretch of `SHOWN_CHARACTERS` characters that costs the model the most bits (the
    fewest if not `hardest`), shortened to whole words.
    """
    if len(text) <= SHOWN_CHARACTERS:
        return slice(0, len(text))
    sums = np.concatenate([np.zeros(1), np.cumsum(bits)])
    totals = sums[SHOWN_CHARACTERS:] - sums[:-SHOWN_CHARACTERS]
    start = int(totals.argmax() if hardest else totals.argmin())
    end = start + SHOWN_CHARACTERS
    if start and not text[start - 1].isspace():
        first = (place + 1 for place in range(start, start + _CUT) if text[place].isspace())
        start = next(first, start)
    if end < len(text) and not text[end].isspace():
        last = (place for place in range(end - 1, end - _CUT, -1) if text[place].isspace())
        end = next(last, end)
    return slice(start, end)


def _ids(arrays: TokenArrays, piece: Piece) -> NDArray[np.unsignedinteger[Any]]:
    first = int(arrays.offsets[piece.document])
    return arrays.tokens[first + piece.start : first + piece.end]
