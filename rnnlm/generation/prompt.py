"""The input that a model is given before it samples a text: attribute values, a colour, a prefix.

A model that was trained with `corpus.condition` is conditioned on attributes: a header with their
values comes before each text (`rnnlm.conditioning`). The user may give some of the values. The
model then writes the other values and the text.

A model that was trained with the render `color-both` knows two kinds of lines, `name R G B` and
`#rrggbb name`. It can be given a colour, with which a line of the second kind begins.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rnnlm.composing import compose
from rnnlm.conditioning import header
from rnnlm.config import Experiment, GenerationConfig
from rnnlm.constraints import Rules, compile_constraints, rules_of
from rnnlm.constraints.acceptors import bare_pattern
from rnnlm.constraints.grammars import GRAMMARS
from rnnlm.errors import GenerationError
from rnnlm.tokenizer import Tokenizer

COLOR = "color"
BOTH_WAYS = "color-both"
_NAME_OF_COLOR = r"#[0-9a-f]{6} [^#\s](.*\S)?"


@dataclass(frozen=True)
class Opening:
    """The beginning that all texts of a job have in common.

    Attributes:
        condition: Names of the attributes in the header of every text.
        header: The part of the header that is given to the model, before the prefix: the values of
            the first attributes, or a colour.
        grammar: A regular expression that matches the whole text with its header; empty for none.
        missing: Names of the attributes whose values are not given, so that the model writes them.
    """

    condition: tuple[str, ...]
    header: str
    grammar: str
    missing: tuple[str, ...] = ()

    def before(self, prefixes: Sequence[str]) -> list[str]:
        """Return each of the user's prefixes with the header before it.

        Raises:
            GenerationError: There are missing attributes, so that a prefix would become the
                beginning of an attribute value instead of the text.
        """
        if self.missing and (prefix := next(filter(None, prefixes), "")):
            options = " ".join(f"--given {name}=…" for name in self.missing)
            raise GenerationError(
                f"the prefix {prefix[:40]!r} would become part of the attribute "
                f"{self.missing[0]!r}, which the model writes before the text (expected values for "
                f"all of {', '.join(self.condition)}); add {options}, or leave the prefix out"
            )
        return [self.header + prefix for prefix in prefixes]


def open_texts(experiment: Experiment, config: GenerationConfig) -> Opening:
    """Return the common beginning of a job's texts.

    Args:
        experiment: Configuration that the model was trained with.
        config: Settings of the job; only `given` (attribute values) and `grammar` are used.

    Raises:
        ConstraintError: The grammar is invalid, or uses an unsupported feature.
        GenerationError: The model was not trained with a given attribute, or there is no grammar
            with the given name.
    """
    given, condition = dict(config.given), experiment.corpus.condition
    grammar = config.grammar
    if re.fullmatch("[a-z_-]+", grammar) and grammar not in GRAMMARS:
        raise GenerationError(
            f"no grammar {grammar!r} (there are: {', '.join(GRAMMARS)}); choose one of them, or "
            f"write ({grammar}) for a regular expression that matches this word"
        )
    if COLOR in given and COLOR not in condition:
        if grammar not in ("", COLOR):
            raise GenerationError(
                f"both a colour and the grammar {grammar!r} are given (with a given colour, texts "
                "have the form `#rrggbb name`); leave one of them out"
            )
        return Opening((), _color(experiment, given), _NAME_OF_COLOR)
    known = [name for name in condition if name in given]
    if [*condition[: len(known)]] != known or len(known) < len(given):
        strange = next((name for name in given if name not in condition), "")
        able = ", ".join(condition) or "none; see corpus.condition in docs/corpora.md"
        raise GenerationError(
            f"{experiment.name} was not trained with the attribute {strange!r} (expected {able})"
            if strange
            else f"{experiment.name} takes the attributes {', '.join(condition)} in this order; "
            f"give {condition[0]!r} too"
        )
    if grammar and condition:
        pattern = bare_pattern(GRAMMARS.get(grammar, grammar))
        grammar = f"(?:[^\\t]*\\t){{{len(condition)}}}(?:{pattern})"
    return Opening(condition, header(given, known), grammar, condition[len(known) :])


def attributes_of(experiment: Experiment) -> tuple[str, ...]:
    """Return the names of the attributes that a model can be given.

    Args:
        experiment: Configuration that the model was trained with.
    """
    return experiment.corpus.condition or ((COLOR,) if _names_colors(experiment) else ())


def prefixes_of(config: GenerationConfig, path: Path | None) -> list[str]:
    """Return the single prefix of a job, or the non-empty lines of its file of prefixes.

    They are normalised to Unicode NFC, like training text.

    Raises:
        GenerationError: The file cannot be read, or has no lines.
    """
    if path is None:
        return [compose(config.prefix)]
    try:
        text = compose(path.read_text("utf-8-sig"))
        lines = text.replace("\r\n", "\n").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise GenerationError(
            f"cannot read the prefixes in {path} ({error}); give a UTF-8 text file with one prefix "
            "per line"
        ) from error
    found = [line for line in lines if line]
    if not found:
        raise GenerationError(
            f"no line in {path} (expected one prefix per line); add lines, or leave the file out"
        )
    return found


def constraint(
    tokenizer: Tokenizer, config: GenerationConfig, opening: Opening, prefixes: list[str]
) -> Rules:
    """Compile the constraints of a job for a vocabulary; return them with the texts' beginnings.

    Args:
        tokenizer: The model's tokenizer.
        config: Settings of the job, with the constraints.
        opening: The common beginning of the texts; it also has the grammar.
        prefixes: The prefixes, each including the header.

    Raises:
        ConstraintError: No text can satisfy the constraints, or a prefix violates them.
    """
    automaton = compile_constraints(
        tokenizer,
        grammar=opening.grammar,
        banned=config.banned,
        required=config.required,
        stop=config.stop,
        prefixes=prefixes,
        min_length=config.min_length,
        max_length=config.max_length,
    )
    return rules_of(tokenizer, prefixes, automaton, config.max_length)


def _color(experiment: Experiment, given: dict[str, str]) -> str:
    if not _names_colors(experiment):
        raise GenerationError(
            f"{experiment.name} was not trained to name a given colour; train a model that can: "
            "rnnlm train configs/colors-both.toml"
        )
    code = given[COLOR].strip().lower()
    if len(given) > 1 or not re.fullmatch("#[0-9a-f]{6}", code):
        raise GenerationError(f"color = {given[COLOR]!r} (expected a colour such as #b39a7c)")
    return f"{code} "


def _names_colors(experiment: Experiment) -> bool:
    renders = {source.render for source in experiment.corpus.all_sources}
    return BOTH_WAYS in renders | {experiment.corpus.render}
