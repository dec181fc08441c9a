"""What a text is given before its first token is drawn: attributes, a colour, a prefix.

A model of a corpus with a `corpus.condition` is told attributes first (`rnnlm.conditioning`); what
it is not told it invents, and then goes on. A model of colours both ways is given a colour as the
`#rrggbb` that its texts of the second kind begin with.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rnnlm.conditioning import header
from rnnlm.config import Experiment, GenerationConfig
from rnnlm.constraints.acceptors import bare_pattern
from rnnlm.constraints.grammars import GRAMMARS
from rnnlm.errors import GenerationError

COLOR = "color"
BOTH_WAYS = "color-both"
_NAME_OF_COLOR = r"#[0-9a-f]{6} [^#\s](.*\S)?"


@dataclass(frozen=True)
class Opening:
    """What all texts of a job have in common at their beginning.

    Attributes:
        condition: Attributes that stand before every text.
        header: What stands before the prefix: leading values of the condition, or a colour.
        grammar: A regular expression for all that the model writes, or none.
        missing: Attributes of the condition that are not given, but written by the model.
    """

    condition: tuple[str, ...]
    header: str
    grammar: str
    missing: tuple[str, ...] = ()

    def before(self, prefixes: Sequence[str]) -> list[str]:
        """Return what the model's texts begin with, for each of the user's prefixes.

        Raises:
            GenerationError: A prefix would become the beginning of an attribute, not of the text.
        """
        if self.missing and (prefix := next(filter(None, prefixes), "")):
            options = " ".join(f"--given {name}=…" for name in self.missing)
            raise GenerationError(
                f"the prefix {prefix[:40]!r} would begin the attribute {self.missing[0]!r}, which "
                f"the model writes before the text (expected all of {', '.join(self.condition)} to "
                f"be given); add {options}, or leave the prefix out"
            )
        return [self.header + prefix for prefix in prefixes]


def open_texts(experiment: Experiment, config: GenerationConfig) -> Opening:
    """Return how a job's texts begin.

    Args:
        experiment: What the model was trained by.
        config: `given` and `grammar` matter.

    Raises:
        ConstraintError: The grammar is no regular expression, or asks for more than there is.
        GenerationError: The model was not trained to be given what is given.
    """
    given, condition = dict(config.given), experiment.corpus.condition
    grammar = config.grammar
    if re.fullmatch("[a-z_-]+", grammar) and grammar not in GRAMMARS:
        raise GenerationError(
            f"no grammar {grammar!r} (there are: {', '.join(GRAMMARS)}); a regular expression for "
            f"that very word is ({grammar})"
        )
    if COLOR in given and COLOR not in condition:
        if grammar not in ("", COLOR):
            raise GenerationError(
                f"a colour to be named and the grammar {grammar!r}: the texts are `#rrggbb name`; "
                "leave one of them out"
            )
        return Opening((), _color(experiment, given), _NAME_OF_COLOR)
    known = [name for name in condition if name in given]
    if [*condition[: len(known)]] != known or len(known) < len(given):
        strange = next((name for name in given if name not in condition), "")
        able = ", ".join(condition) or "nothing; see corpus.condition in docs/corpora.md"
        raise GenerationError(
            f"{experiment.name} was not trained to be given {strange!r} (it can be given: {able})"
            if strange
            else f"{experiment.name} is told {', '.join(condition)} in this order; give "
            f"{condition[0]!r} too"
        )
    if grammar and condition:
        pattern = bare_pattern(GRAMMARS.get(grammar, grammar))
        grammar = f"(?:[^\\t]*\\t){{{len(condition)}}}(?:{pattern})"
    return Opening(condition, header(given, known), grammar, condition[len(known) :])


def _color(experiment: Experiment, given: dict[str, str]) -> str:
    renders = {source.render for source in experiment.corpus.all_sources}
    if BOTH_WAYS not in renders | {experiment.corpus.render}:
        raise GenerationError(
            f"{experiment.name} was not trained to name a given colour; train one that was: "
            "rnnlm train configs/colors-both.toml"
        )
    code = given[COLOR].strip().lower()
    if len(given) > 1 or not re.fullmatch("#[0-9a-f]{6}", code):
        raise GenerationError(f"color = {given[COLOR]!r} (expected a colour such as #b39a7c)")
    return f"{code} "
