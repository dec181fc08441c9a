"""Sample a few texts of a model in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rnnlm.checkpoint import LoadedModel
from rnnlm.config import GenerationConfig
from rnnlm.constraints import rules_of
from rnnlm.engine import running
from rnnlm.engine.running import Engine
from rnnlm.engine.texts import Decoder, GeneratedText, rows
from rnnlm.models import LanguageModel
from rnnlm.tokenizer import Tokenizer, check_known

LINE_TOKENS = 80
"""Most tokens of the one-line sample that is shown during training; see `write_line`."""


def generate_texts(
    model: LanguageModel,
    tokenizer: Tokenizer,
    config: GenerationConfig,
    first: int,
    count: int,
    how: Engine | None = None,
) -> Iterator[GeneratedText]:
    """Sample texts `first` to `first + count - 1`; yield them in the order in which they end.

    This is meant for a few texts; those of a data set are kept in columns instead.

    Args:
        model: The model, in eval mode; not modified.
        tokenizer: The model's tokenizer.
        config: Settings for sampling, the prefix and the maximum length; constraints are ignored.
        first: Number of the first text.
        count: Number of texts.
        how: The engine; by default the fastest one with 32-bit precision.

    Raises:
        TokenizerError: The prefix has characters that the vocabulary lacks.
    """
    check_known(tokenizer, config.prefix, "the prefix")
    how = how or running.choose_engine(model, "fp32")
    yield from _generate(
        model, tokenizer, config, [config.prefix], range(first, first + count), how
    )


def continue_texts(
    loaded: LoadedModel, prefixes: Sequence[str], config: GenerationConfig
) -> list[str]:
    """Return one text for each prefix, beginning with it; computed in 32-bit precision.

    Args:
        loaded: The model.
        prefixes: The prefixes; the vocabulary must have all of their characters.
        config: Settings for sampling and the maximum length; constraints are ignored.
    """
    how = running.choose_engine(loaded.model, "fp32")
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
    slots = running.open_slots(how, model, tokenizer, config, rules)
    decoder = Decoder(tokenizer, rules.heads)
    for ended in running.run(slots, numbers.start, len(numbers)):
        yield from rows(ended, decoder)


def sample_texts(loaded: LoadedModel, config: GenerationConfig) -> list[GeneratedText]:
    """Sample `config.count` texts in memory; return them sorted by number.

    The precision is `config.precision`, where `auto` means the precision that was chosen when the
    model was trained.
    """
    how = running.choose_engine(loaded.model, running.resolve(config.precision, loaded.facts))
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
