"""Decode sampled tokens to text, many texts at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rnnlm import arrow
from rnnlm.constraints import stop_pattern
from rnnlm.errors import TokenizerError
from rnnlm.kernels.slots import EndedTexts
from rnnlm.tokenizer import Tokenizer


@dataclass(frozen=True)
class GeneratedText:
    """One sampled text.

    Attributes:
        number: The text's number in the job; together with the job's seed, it determines all
            random numbers for the text.
        text: The prefix and the text sampled after it.
        tokens: Number of tokens sampled, including the boundary token that ends the text.
        log_prob_nats: Log-probability of the sampled tokens under the model itself, before
            temperature and truncation (top-k, top-p, min-p) are applied.
        complete: True if the model ended the text, false if it was cut at `max_length`.
    """

    number: int
    text: str
    tokens: int
    log_prob_nats: float
    complete: bool


class Decoder:
    """Turns sampled tokens into strings, a batch at a time."""

    def __init__(
        self, tokenizer: Tokenizer, prefixes: Sequence[str], stop: Sequence[str] = ()
    ) -> None:
        """Prepare to decode texts; text n begins with `prefixes[n % len(prefixes)]`.

        Args:
            tokenizer: The model's tokenizer.
            prefixes: The prefixes; at least one.
            stop: Stop strings. A text is cut before the first of them that it contains.
        """
        self._tokenizer = tokenizer
        self._prefixes = arrow.strings(prefixes)
        self._stop = stop_pattern(stop) if stop else ""
        self._pieces: pa.Array | None = None
        try:
            pieces = tokenizer.token_bytes()
        except TokenizerError:  # word tokenizer: spacing depends on the neighbouring words
            return
        self._pieces = arrow.binaries(pieces)

    def decode(self, ended: EndedTexts) -> pa.Array:
        """Return the texts, including their prefixes, in the order of `ended`.

        The result is an Arrow array of large strings. Bytes that are not part of a complete UTF-8
        character are left out.
        """
        if self._pieces is None:
            return self._spaced(ended)
        prefixes = self._prefixes.take(arrow.integers(ended.numbers % len(self._prefixes)))
        nothing = arrow.strings([""])[0]
        texts = pc.binary_join_element_wise(prefixes, self._strings(ended), nothing)
        return pc.replace_substring_regex(texts, self._stop, "") if self._stop else texts

    def _spaced(self, ended: EndedTexts) -> pa.Array:
        """Return the texts for a word tokenizer, which decodes prefix and tokens together.

        They cannot be decoded separately, as the spaces depend on the neighbouring words.
        """
        begins = [self._tokenizer.encode(text).tolist() for text in self._prefixes.to_pylist()]
        ends = np.cumsum(ended.lengths)
        texts = [
            self._tokenizer.decode(
                [*begins[number % len(begins)], *ended.tokens[end - length : end].tolist()]
            )
            for number, length, end in zip(ended.numbers, ended.lengths, ends, strict=True)
        ]
        return arrow.strings(texts)

    def _strings(self, ended: EndedTexts) -> pa.Array:
        assert self._pieces is not None
        _, starts, data = self._pieces.take(arrow.integers(ended.tokens)).buffers()
        ends = np.concatenate([[0], np.cumsum(ended.lengths)])
        bounds = np.frombuffer(starts, np.int64)[ends]
        cells = [None, pa.py_buffer(bounds), data]
        column = pa.Array.from_buffers(pa.large_binary(), len(ended.lengths), cells)
        try:
            return column.cast(pa.large_string())
        except pa.ArrowInvalid:  # a character cut off at the maximum length, or a stray byte
            texts = [cell.decode("utf-8", "ignore") for cell in column.to_pylist()]
            return arrow.strings(texts)


def rows(ended: EndedTexts, decoder: Decoder) -> Iterator[GeneratedText]:
    """Decode a batch of ended texts, and yield the texts one by one."""
    columns = (ended.numbers, ended.lengths, ended.log_probs, ended.complete)
    texts = decoder.decode(ended).to_pylist()
    for text, number, length, log_prob, complete in zip(texts, *columns, strict=True):
        yield GeneratedText(int(number), text, int(length), float(log_prob), bool(complete))
