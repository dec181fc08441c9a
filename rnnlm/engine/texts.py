"""Decode sampled tokens to text, many texts at a time, and sample a few texts in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from rnnlm import engine
from rnnlm.checkpoint import LoadedModel
from rnnlm.config import GenerationConfig
from rnnlm.constraints import rules_of, stop_pattern
from rnnlm.engine import Engine
from rnnlm.errors import TokenizerError
from rnnlm.kernels.slots import EndedTexts
from rnnlm.models import LanguageModel
from rnnlm.tokenizer import Tokenizer, check_known

LINE_TOKENS = 80
"""Most tokens of the one-line sample that is shown during training; see `write_line`."""


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
        self._prefixes = pa.array(prefixes, pa.large_string())
        self._stop = stop_pattern(stop) if stop else ""
        self._bytes: NDArray[np.uint8] | None = None
        try:
            pieces = tokenizer.token_bytes()
        except TokenizerError:  # word tokenizer: spacing depends on the neighbouring words
            return
        self._sizes = np.array([len(piece) for piece in pieces], dtype=np.int64)
        self._starts = np.cumsum(self._sizes) - self._sizes
        self._bytes = np.frombuffer(b"".join(pieces), dtype=np.uint8)

    def decode(self, ended: EndedTexts) -> pa.Array:
        """Return the texts, including their prefixes, in the order of `ended`.

        The result is an Arrow array of large strings. Bytes that are not part of a complete UTF-8
        character are left out.
        """
        if self._bytes is None:
            return self._spaced(ended)
        prefixes = self._prefixes.take(pa.array(ended.numbers % len(self._prefixes)))
        nothing = pa.scalar("", pa.large_string())
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
        return pa.array(texts, pa.large_string())

    def _strings(self, ended: EndedTexts) -> pa.Array:
        assert self._bytes is not None
        sizes = self._sizes[ended.tokens]
        ends = np.cumsum(sizes)
        shift = self._starts[ended.tokens] - (ends - sizes)
        total = int(ends[-1]) if len(ends) else 0
        data = self._bytes[np.repeat(shift, sizes) + np.arange(total)]
        bounds = np.concatenate([[0], ends])[np.concatenate([[0], np.cumsum(ended.lengths)])]
        cells = [None, pa.py_buffer(bounds.astype(np.int64)), pa.py_buffer(data)]
        column = pa.Array.from_buffers(pa.large_binary(), len(ended.lengths), cells)
        try:
            return column.cast(pa.large_string())
        except pa.ArrowInvalid:  # a character cut off at the maximum length, or a stray byte
            texts = [cell.decode("utf-8", "ignore") for cell in column.to_pylist()]
            return pa.array(texts, pa.large_string())


def in_order(parts: Iterable[EndedTexts]) -> EndedTexts:
    """Join batches of ended texts, and sort the texts by number."""
    ended = EndedTexts.joined([*parts])
    order = np.argsort(ended.numbers, kind="stable")
    starts = np.cumsum(ended.lengths) - ended.lengths
    lengths = ended.lengths[order]
    shift = starts[order] - (np.cumsum(lengths) - lengths)
    return EndedTexts(
        ended.numbers[order],
        lengths,
        ended.tokens[np.repeat(shift, lengths) + np.arange(len(ended.tokens))],
        ended.complete[order],
        ended.log_probs[order],
    )


def generate_texts(
    model: LanguageModel,
    tokenizer: Tokenizer,
    config: GenerationConfig,
    first: int,
    count: int,
    how: Engine | None = None,
) -> Iterator[GeneratedText]:
    """Sample texts `first` to `first + count - 1`; yield them in the order in which they end.

    This is meant for a few texts. The texts of a data set are kept in columns instead.

    Args:
        model: The model, in eval mode; not modified.
        tokenizer: The model's tokenizer.
        config: Settings for sampling, the prefix and the maximum length; constraints are ignored.
        first: Number of the first text.
        count: Number of texts.
        how: The engine; by default the fastest one with a precision of 32 bits.

    Raises:
        TokenizerError: The prefix has characters that the vocabulary lacks.
    """
    check_known(tokenizer, config.prefix, "the prefix")
    how = how or engine.choose_engine(model, "fp32")
    yield from _generate(
        model, tokenizer, config, [config.prefix], range(first, first + count), how
    )


def continue_texts(
    loaded: LoadedModel, prefixes: Sequence[str], config: GenerationConfig
) -> list[str]:
    """Return a text for each prefix, which begins with it; computed with 32 bits.

    Args:
        loaded: The model.
        prefixes: The prefixes, of known characters.
        config: Settings for sampling and the maximum length; constraints are ignored.
    """
    how = engine.choose_engine(loaded.model, "fp32")
    numbers = range(len(prefixes))
    texts = _generate(loaded.model, loaded.tokenizer, config, prefixes, numbers, how)
    return [text.text for text in sorted(texts, key=lambda text: text.number)]


def _generate(
    model: LanguageModel,
    tokenizer: Tokenizer,
    config: GenerationConfig,
    prefixes: Sequence[str],
    numbers: range,
    how: Engine,
) -> Iterator[GeneratedText]:
    rules = rules_of(tokenizer, prefixes, None, config.max_length)
    slots = engine.open_slots(how, model, tokenizer, config, rules)
    decoder = Decoder(tokenizer, rules.heads)
    for ended in engine.run(slots, numbers.start, len(numbers)):
        yield from rows(ended, decoder)


def rows(ended: EndedTexts, decoder: Decoder) -> Iterator[GeneratedText]:
    """Decode a batch of ended texts, and yield the texts one by one."""
    columns = (ended.numbers, ended.lengths, ended.log_probs, ended.complete)
    texts = decoder.decode(ended).to_pylist()
    for text, number, length, log_prob, complete in zip(texts, *columns, strict=True):
        yield GeneratedText(int(number), text, int(length), float(log_prob), bool(complete))


def sample_texts(loaded: LoadedModel, config: GenerationConfig) -> list[GeneratedText]:
    """Sample `config.count` texts in memory; return them sorted by number.

    The precision is `config.precision`, where `auto` means the precision that was chosen when the
    model was trained.
    """
    how = engine.choose_engine(loaded.model, engine.resolve(config.precision, loaded.facts))
    texts = generate_texts(loaded.model, loaded.tokenizer, config, 0, config.count, how)
    return sorted(texts, key=lambda text: text.number)


def write_line(model: LanguageModel, tokenizer: Tokenizer, seed: int) -> str:
    """Return a short sample from the model in its current state, on one line.

    Args:
        model: The model; switched to eval mode meanwhile, then back to the mode that it was in.
        tokenizer: The model's tokenizer.
        seed: Seed of the sample.
    """
    was_training = model.training
    config = GenerationConfig(
        count=1, batch_size=1, temperature=0.8, seed=seed, max_length=LINE_TOKENS
    )
    how = Engine("model", "fp32", "one line only")
    text = next(generate_texts(model.eval(), tokenizer, config, 0, 1, how)).text
    model.train(was_training)
    return " ".join(text.split())
