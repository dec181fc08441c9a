"""Draw texts one after the other, without files, for `rnnlm sample` and the Python interface.

With the same settings and seed, the texts equal those of a data set (`rnnlm.generation.job`).
Nothing here needs torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnlm.conditioning import split_header
from rnnlm.config import COMPARING, GenerationConfig, override
from rnnlm.constraints import Rules
from rnnlm.engine.opening import NATIVE_SLOTS, Sampler, Slots, run
from rnnlm.engine.texts import Decoder
from rnnlm.errors import GenerationError
from rnnlm.generation.accepting import accepted, best_of_groups, more_to_draw
from rnnlm.generation.prompt import Opening, constraint, open_texts, prefixes_of
from rnnlm.kernels.slots import EndedTexts
from rnnlm.metrics import NATS_PER_BIT
from rnnlm.surprise import spread
from rnnlm.tokenizer import Tokenizer, check_known

STEPS = 32
"""Number of steps between two checks for texts that have ended, so that they are shown soon."""


@dataclass(frozen=True)
class DrawnText:
    """A text drawn from a model.

    Attributes:
        number: Number of the text; with the seed and the settings, it determines the text.
        text: The text, with its prefix.
        values: Values of the attributes in its header (`corpus.condition`), by name.
        tokens: Number of tokens drawn, including the boundary token that ends the text.
        log_prob_nats: Log-probability of the drawn tokens under the model itself, before
            temperature and truncation.
        complete: Whether the model ended the text; otherwise it was cut at `max_length`.
        bits: Bits that each character of `text` cost the model, NaN for characters that it was
            given; empty unless they were asked for.
    """

    number: int
    text: str
    values: Mapping[str, str]
    tokens: int
    log_prob_nats: float
    complete: bool
    bits: tuple[float, ...] = ()


def settings_for(sampler: Sampler, changes: Mapping[str, Any]) -> GenerationConfig:
    """Return a model's own settings with some changes.

    Filters that compare with the training text are turned off, because it is not read here.

    Args:
        sampler: The model.
        changes: New values of settings, by name; a value of None changes nothing.

    Raises:
        ConfigError: A value is wrong.
    """
    own = sampler.experiment.generation
    return override(own.model_copy(update=dict.fromkeys(COMPARING, False)), changes)


def stream(
    sampler: Sampler, config: GenerationConfig, *, costs: bool = False
) -> Iterator[DrawnText]:
    """Yield `config.count` texts in the order of their numbers, each as soon as it is drawn.

    Texts that a filter refuses are left out, and others are drawn in their place.

    Args:
        sampler: The model.
        config: Settings of the texts.
        costs: Whether to compute `DrawnText.bits`.

    Raises:
        TokenizerError: The prefix has characters that the vocabulary lacks.
        ConstraintError: No text can satisfy the constraints.
        GenerationError: The model was not trained with an attribute that is asked for, the filters
            refuse nearly all texts, or a filter needs the training text.
    """
    if config.compares:
        raise GenerationError(
            f"{', '.join(COMPARING)} compare with the training text, which is not read here; leave "
            "them out, or use `rnnlm generate`"
        )
    source = _Source.open(sampler, config, costs)
    form, group = sampler.experiment.corpus.form, config.best_of
    flags = bytearray()
    seen: set[int] = set()
    have, more = 0, config.count * group
    while True:
        for texts in _groups(source.draw(len(flags), more), group):
            passed = _passed(texts, config, form)
            for place, text in enumerate(texts):
                key = hash(text.text)
                if not passed[place] or (config.unique and key in seen):
                    flags.append(False)
                    continue
                if config.unique:
                    seen.add(key)
                flags.append(True)
                yield text
                have += 1
                if have == config.count:
                    return
        more = more_to_draw(np.frombuffer(bytes(flags), np.bool_), more, config.count)
        more = max(NATIVE_SLOTS, more)
        more += -more % group


def _groups(texts: Iterator[DrawnText], size: int) -> Iterator[list[DrawnText]]:
    """Yield texts in groups of consecutive numbers."""
    while group := [*islice(texts, size)]:
        yield group


def _passed(texts: Sequence[DrawnText], config: GenerationConfig, form: str) -> NDArray[np.bool_]:
    """Return which texts of a group pass the filters that look at single texts."""
    strings = [text.text for text in texts]
    log_probs = np.array([text.log_prob_nats for text in texts])
    return best_of_groups(accepted(strings, config, form), strings, log_probs, config.best_of)


@dataclass(frozen=True)
class _Source:
    """Slots that are ready to draw from, and what is needed to decode their tokens."""

    slots: Slots
    tokenizer: Tokenizer
    decoder: Decoder
    rules: Rules
    opening: Opening
    given: int

    @classmethod
    def open(cls, sampler: Sampler, config: GenerationConfig, costs: bool) -> _Source:
        tokenizer = sampler.tokenizer
        opening = open_texts(sampler.experiment, config)
        [prefix] = prefixes_of(config, None)
        prefixes = opening.before([prefix])
        check_known(tokenizer, prefix, f"the prefix {prefix[:40]!r}")
        check_known(tokenizer, opening.header, f"the header {opening.header!r}")
        if config.required:  # not forced while drawing; this checks that a text can contain them
            constraint(tokenizer, config, opening, prefixes)
        allowed = config.model_copy(update={"required": ()})
        rules = constraint(tokenizer, allowed, opening, prefixes)
        slots = min(config.batch_size or NATIVE_SLOTS, config.count * config.best_of)
        opened = config.model_copy(update={"batch_size": slots})
        return cls(
            sampler.open_slots(opened, rules, costs=costs),
            tokenizer,
            Decoder(tokenizer, rules.heads, config.stop),
            rules,
            opening,
            len(prefixes[0]),
        )

    def draw(self, first: int, count: int) -> Iterator[DrawnText]:
        """Yield the texts `first` to `first + count - 1`, in order."""
        waiting: dict[int, DrawnText] = {}
        wanted = first
        for ended in run(self.slots, first, count, STEPS):
            for text in self._texts(ended):
                waiting[text.number] = text
            while wanted in waiting:
                yield waiting.pop(wanted)
                wanted += 1

    def _texts(self, ended: EndedTexts) -> Iterator[DrawnText]:
        ends = np.cumsum(ended.lengths).tolist()
        columns = (ended.numbers, ended.lengths, ended.log_probs, ended.complete)
        rows = zip(*(column.tolist() for column in columns), strict=True)
        strings = self.decoder.decode(ended).to_pylist()
        for whole, end, (number, length, log_prob, complete) in zip(
            strings, ends, rows, strict=True
        ):
            values, text = split_header(whole, self.opening.condition)
            bits: tuple[float, ...] = ()
            if len(ended.token_nats):
                drawn = slice(end - length, end)
                bits = self._bits(whole, number, ended.tokens[drawn], ended.token_nats[drawn])
                bits = bits[len(whole) - len(text) :]
            yield DrawnText(number, text, values, length, log_prob, complete, bits)

    def _bits(
        self, whole: str, number: int, ids: NDArray[np.int32], nats: NDArray[np.float64]
    ) -> tuple[float, ...]:
        """Return the bits of each character of a text with its header and its prefix."""
        head = self.rules.heads[number % len(self.rules.heads)]
        bits = np.full(len(whole), np.nan)
        _, drawn = spread(self.tokenizer, ids, nats / NATS_PER_BIT)
        shown = min(len(drawn), len(whole) - len(head))  # the rest was cut off, or is the end mark
        bits[len(head) : len(head) + shown] = drawn[:shown]
        bits[: self.given] = np.nan
        return tuple(bits.tolist())
