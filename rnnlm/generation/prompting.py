"""Draw texts for many prompts at once, as a served model does.

All prompts share one batch of slots. Filters, which refuse texts, are not applied.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rnnlm.composing import compose
from rnnlm.conditioning import split_header
from rnnlm.config import GenerationConfig
from rnnlm.engine.opening import NATIVE_SLOTS, Sampler, run
from rnnlm.engine.texts import Decoder
from rnnlm.generation.prompt import Opening, constraint, open_texts
from rnnlm.generation.streaming import settings_for
from rnnlm.tokenizer import check_known

SEEDS = 2**31
"""A seed that is chosen at random is below this."""


@dataclass(frozen=True)
class Prompt:
    """What a text is to begin with.

    Attributes:
        text: The beginning of the text; may be empty.
        given: Name and value of each given attribute (`corpus.condition`, or `color`).
    """

    text: str = ""
    given: tuple[tuple[str, str], ...] = ()


def answer(
    sampler: Sampler, prompts: Sequence[Prompt], changes: Mapping[str, Any]
) -> list[list[str]]:
    """Return `count` texts for each prompt; each begins with its prompt.

    Without a seed, all texts differ by chance, also those of equal prompts. With a seed, the texts
    of a prompt are always the same, whatever the other prompts are.

    Args:
        sampler: The model.
        prompts: The prompts.
        changes: New values of the model's own generation settings, by name; a value of None changes
            nothing. A `seed` of None or none at all is chosen at random.

    Raises:
        ConfigError: A setting is out of range.
        ConstraintError: No text can satisfy the model's own constraints.
        GenerationError: The model was not trained with a given attribute, or a prompt needs one.
        TokenizerError: A prompt has characters that the vocabulary lacks.
    """
    config = settings_for(sampler, changes)
    if changes.get("seed") is None:
        config = config.model_copy(update={"seed": random.randrange(SEEDS)})
        return _draw(sampler, prompts, config)
    found = {prompt: _draw(sampler, [prompt], config)[0] for prompt in dict.fromkeys(prompts)}
    return [found[prompt] for prompt in prompts]


def _draw(sampler: Sampler, prompts: Sequence[Prompt], config: GenerationConfig) -> list[list[str]]:
    """Return the texts for each prompt; prompts with the same constraints share a batch."""
    tokenizer, groups = sampler.tokenizer, defaultdict[Opening, list[tuple[int, str]]](list)
    for place, prompt in enumerate(prompts):
        wanted = config.model_copy(update={"given": dict(prompt.given)})
        opening = open_texts(sampler.experiment, wanted)
        text = compose(prompt.text)
        [whole] = opening.before([text])
        check_known(tokenizer, text, f"the prompt {text[:40]!r}")
        check_known(tokenizer, opening.header, f"the given {opening.header.strip()!r}")
        groups[replace(opening, header="", missing=())].append((place, whole))
    answers: list[list[str]] = [[] for _ in prompts]
    for opening, members in groups.items():
        texts = _draw_group(sampler, opening, [whole for _, whole in members], config)
        for (place, _), drawn in zip(members, texts, strict=True):
            answers[place] = drawn
    return answers


def _draw_group(
    sampler: Sampler, opening: Opening, prefixes: list[str], config: GenerationConfig
) -> list[list[str]]:
    """Return the texts for each prefix, which includes the header, without their headers.

    Text number n of the batch begins with prefix n modulo the number of prefixes.
    """
    total = len(prefixes) * config.count
    batch = min(config.batch_size or NATIVE_SLOTS, total)
    opened = config.model_copy(update={"batch_size": batch, "required": ()})
    rules = constraint(sampler.tokenizer, opened, opening, prefixes)
    decoder = Decoder(sampler.tokenizer, rules.heads, config.stop)
    numbered: dict[int, str] = {}
    for ended in run(sampler.open_slots(opened, rules), 0, total):
        strings = decoder.decode(ended).to_pylist()
        numbered.update(zip(np.asarray(ended.numbers).tolist(), strings, strict=True))
    return [
        [
            split_header(numbered[number], opening.condition)[1]
            for number in range(place, total, len(prefixes))
        ]
        for place in range(len(prefixes))
    ]
