"""The space of a sweep: the settings that are varied, and the values that they may take.

The user describes each varied setting by a *word* on the command line, in one of two forms:

KEY=A,B,C   the values A, B and C, such as `model.hidden_size=128,256`
KEY=A..B    all numbers from A to B, both included: whole numbers if the setting is a whole number.
            If A > 0 and B is at least ten times A, numbers are drawn on a log scale.

A *point* of the space is one value for each varied setting. The space is checked before the sweep
starts, so that invalid values are reported at once.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice, pairwise, product
from typing import Annotated, Any

from pydantic import TypeAdapter, ValidationError

from rnnlm.config import Config, Experiment, ModelConfig, TrainingConfig, from_values, shorten
from rnnlm.errors import ConfigError
from rnnlm.spelling import did_you_mean

Value = bool | int | float | str
Values = Mapping[str, Value]
"""A point of the space: the value of each varied setting, by key such as `model.hidden_size`."""

MOST_TRIALS = 10_000
MOST_CORNERS = 4096
"""Largest number of corners (points at the ends of ranges) that are checked when a space is read;
if a space has more corners, only the first ones are checked."""
LOG_RATIO = 10.0
"""A range is swept on a log scale if its upper end is at least this multiple of its lower end."""
_SECTIONS: dict[str, type[Config]] = {"model": ModelConfig, "training": TrainingConfig}
_REFUSED = (
    "training.device",
    "training.processes",
    "training.validations",
    "training.validation_tokens",
)
_NUMBER = r"([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)"
_RANGE = re.compile(rf"\s*{_NUMBER}\s*\.\.\s*{_NUMBER}\s*")
_LARGEST = 2**53
_NUMBER_WIDTH = len("0.000312")
_SHORT_NAMES = {
    "learning_rate": "lr",
    "hidden_size": "hidden",
    "embedding_size": "embedding",
    "num_layers": "layers",
    "batch_size": "batch",
}
"""Short names of settings, for the title of a trial and the labels of plots."""


@dataclass(frozen=True)
class Choices:
    """A varied setting that takes one of several given values.

    Attributes:
        key: Key of the setting, such as `model.hidden_size`.
        values: The values, in the order in which they were given.
    """

    key: str
    values: tuple[Value, ...]

    @property
    def word(self) -> str:
        """The setting and its values, as written on the command line."""
        return f"{self.key}={','.join(written(value) for value in self.values)}"

    @property
    def corners(self) -> tuple[Value, ...]:
        """The values to check when a space is read: all of them."""
        return self.values

    def holds(self, value: Any) -> bool:
        """Return whether a value is one of the choices."""
        return value in self.values


@dataclass(frozen=True)
class Range:
    """A varied setting that takes any number from `low` to `high`, both included.

    Attributes:
        key: Key of the setting, such as `training.learning_rate`.
        low: Smallest value.
        high: Largest value.
    """

    key: str
    low: int | float
    high: int | float

    @property
    def word(self) -> str:
        """The setting and its range, as written on the command line."""
        return f"{self.key}={written(self.low)}..{written(self.high)}"

    @property
    def corners(self) -> tuple[Value, ...]:
        """The values to check when a space is read: both ends of the range."""
        return (self.low, self.high)

    @property
    def is_whole(self) -> bool:
        """Whether the range holds whole numbers only."""
        return isinstance(self.low, int)

    @property
    def is_log(self) -> bool:
        """Whether the range is swept on a log scale."""
        return self.low > 0 and self.high >= LOG_RATIO * self.low

    def holds(self, value: Any) -> bool:
        """Return whether a value is a number in the range."""
        return isinstance(value, int | float) and self.low <= value <= self.high

    def rounded(self, value: float) -> int | float:
        """Return a number of the range rounded to few digits; it stays in the range.

        It is rounded to a thousandth of the range or finer, or to three significant digits on a log
        scale. In a range of whole numbers, it is returned as an integer.
        """
        if self.is_whole:
            return int(value)
        if self.is_log:
            short = float(f"{value:.3g}")
        else:
            short = round(value, 3 - math.floor(math.log10(self.high - self.low)))
        return min(max(short, self.low), self.high)


Dimension = Choices | Range


@dataclass(frozen=True)
class Space:
    """The space of a sweep: all points that it may try.

    Attributes:
        base: Experiment whose settings are varied.
        dimensions: The varied settings with their possible values; each key occurs once.
    """

    base: Experiment
    dimensions: tuple[Dimension, ...]

    @property
    def words(self) -> tuple[str, ...]:
        """The varied settings as written on the command line, in the order of `dimensions`."""
        return tuple(dimension.word for dimension in self.dimensions)

    @property
    def size(self) -> int | None:
        """Number of points in the space; None if a range holds real numbers."""
        size = 1
        for dimension in self.dimensions:
            if isinstance(dimension, Choices):
                size *= len(dimension.values)
            elif isinstance(dimension.low, int) and isinstance(dimension.high, int):
                size *= dimension.high - dimension.low + 1
            else:
                return None
        return size

    @property
    def own_values(self) -> Values | None:
        """The base experiment's own values of the varied settings.

        None if one of them is not among the values that the sweep may try.
        """
        values = {d.key: _value_of(self.base, d.key) for d in self.dimensions}
        return values if all(d.holds(values[d.key]) for d in self.dimensions) else None

    def points(self) -> Iterator[Values]:
        """Yield all points of the space; `size` must not be None."""
        axes = [
            d.values if isinstance(d, Choices) else range(int(d.low), int(d.high) + 1)
            for d in self.dimensions
        ]
        for point in product(*axes):
            yield dict(zip((d.key for d in self.dimensions), point, strict=True))

    def corners(self) -> Iterator[Values]:
        """Yield the points that combine any of the choices with either end of each range."""
        for point in product(*(d.corners for d in self.dimensions)):
            yield dict(zip((d.key for d in self.dimensions), point, strict=True))

    def rounded(self, values: Values) -> Values:
        """Return a point with its numbers rounded to a few digits; it stays in the space."""
        return {
            d.key: d.rounded(float(values[d.key])) if isinstance(d, Range) else values[d.key]
            for d in self.dimensions
        }

    def settings(self, values: Values) -> tuple[str, ...]:
        """Return a point as `key=value` strings, which the option `--set` accepts."""
        return tuple(f"{d.key}={written(values[d.key])}" for d in self.dimensions)

    def title(self, values: Values) -> str:
        """Return a point in short form, such as `hidden 256 · lr 0.003`."""
        return " · ".join(f"{short_name(d.key)} {_shown(values[d.key])}" for d in self.dimensions)

    @property
    def title_width(self) -> int:
        """Approximate length of the longest title, in characters."""
        widths = [
            len(short_name(d.key)) + 1 + max(len(_shown(value)) for value in d.corners)
            if isinstance(d, Choices) or d.is_whole
            else len(short_name(d.key)) + 1 + _NUMBER_WIDTH
            for d in self.dimensions
        ]
        return sum(widths) + 3 * (len(widths) - 1)

    def experiment(self, values: Values) -> Experiment:
        """Return the base experiment with the varied settings set to the values of a point.

        Raises:
            ConfigError: The settings are invalid in combination.
        """
        settings = self.settings(values)
        return from_values(self._base_values, settings, origin=f"--over, at {', '.join(settings)}")

    @cached_property
    def _base_values(self) -> dict[str, Any]:
        return self.base.model_dump(exclude_unset=True)  # a catalog entry depends on what is set


def read_space(experiment: Experiment, over: Sequence[str]) -> Space:
    """Read the space of a sweep, and check that an experiment can be made at each corner.

    Args:
        experiment: Experiment whose settings are varied.
        over: The varied settings, as `KEY=A,B,C` or `KEY=A..B`, each for a different key.

    Raises:
        ConfigError: There are no words; or a word cannot be read; or its key is unknown, or is not
            a setting of the network or its training that a sweep may vary; or the settings at a
            corner are invalid.
    """
    if not over:
        raise ConfigError(
            "nothing to sweep over; give one, such as --over training.learning_rate=0.001..0.03"
        )
    dimensions = sorted((_read(experiment, word) for word in over), key=lambda d: d.key)
    for one, other in pairwise(dimensions):
        if one.key == other.key:
            raise ConfigError(f"--over {one.key} is given twice; give all its values at once")
    space = Space(experiment, tuple(dimensions))
    for values in islice(space.corners(), MOST_CORNERS):
        space.experiment(values)
    return space


def check_trials(trials: int) -> None:
    """Check the number of trials of a sweep.

    Raises:
        ConfigError: The number is out of range.
    """
    if not 1 <= trials <= MOST_TRIALS:
        raise ConfigError(f"trials = {trials} (expected 1 to {MOST_TRIALS:,}); 20 is the default")


def short_name(key: str) -> str:
    """Return the short name of a setting, such as `lr` for `training.learning_rate`."""
    last = key.rpartition(".")[2]
    return _SHORT_NAMES.get(last, last)


def written(value: Value) -> str:
    """Return a value as it is written on the command line.

    The notation is that of TOML, but strings have no quotes. `--set` reads the same value back.
    """
    return str(value).lower() if isinstance(value, bool) else str(value)


def _shown(value: Value) -> str:
    return f"{value:g}" if isinstance(value, float) else written(value)


def _read(experiment: Experiment, word: str) -> Dimension:
    key, _, text = (part.strip() for part in word.partition("="))
    if not key or not text:
        raise ConfigError(f"--over {shorten(word)} is incomplete (expected KEY=A,B,C or KEY=A..B)")
    _check_key(key)
    if ".." in text:
        return _read_range(experiment, key, text)
    parts = [part.strip() for part in text.split(",")]
    if not all(parts):
        raise ConfigError(f"--over {shorten(word)} has an empty choice (expected KEY=A,B,C)")
    values = tuple(_checked(experiment, key, part) for part in parts)
    if len({*values}) < len(values):
        raise ConfigError(f"--over {shorten(word)} repeats a choice; give each once")
    if len(values) == 1:
        raise ConfigError(
            f"--over {shorten(word)} has only one choice; give several, or --set {key}={parts[0]}"
        )
    return Choices(key, values)


def _read_range(experiment: Experiment, key: str, text: str) -> Range:
    match = _RANGE.fullmatch(text)
    if match is None or max(len(end) for end in match.groups()) > 40:
        raise ConfigError(
            f"--over {key}={shorten(text)} is not a range (expected numbers, such as 1..4)"
        )
    low, high = (_checked(experiment, key, end) for end in match.groups())
    if isinstance(low, bool | str) or isinstance(high, bool | str):
        raise ConfigError(f"--over {key}={text}: {key} is not a number; give choices, such as A,B")
    if isinstance(low, int) and not all(re.fullmatch(r"[+-]?\d+", end) for end in match.groups()):
        raise ConfigError(
            f"--over {key}={text}: {key} is a whole number (expected whole ends, such as 1..4)"
        )
    if not all(abs(end) < _LARGEST for end in (low, high)):
        raise ConfigError(f"--over {key}={text} is too wide (expected ends below 2^53)")
    if low >= high:
        raise ConfigError(f"--over {key}={text}: {low} is not below {high}; give the lower first")
    return Range(key, low, high)


def _check_key(key: str) -> None:
    known = [
        name
        for section, config in _SECTIONS.items()
        for name in (f"{section}.{field}" for field in config.model_fields)
        if name not in _REFUSED
    ]
    if key in known:
        return
    section = key.partition(".")[0]
    if key in _REFUSED or (section in Experiment.model_fields and section not in _SECTIONS):
        raise ConfigError(
            f"--over {key}: only settings of model and training can be swept, and not device, "
            "processes, validations or validation_tokens: trials are compared on one corpus, by "
            "one measure"
        )
    hint = did_you_mean(key, known)
    raise ConfigError(f"--over {shorten(key)}: unknown key" + (f"; {hint}" if hint else ""))


def _checked(experiment: Experiment, key: str, text: str) -> Value:
    """Parse the value of a setting, and check it against the setting's type and range.

    It is not checked against other settings.

    Raises:
        ConfigError: The value has the wrong type or is out of range.
    """
    section, _, name = key.partition(".")
    info = _SECTIONS[section].model_fields[name]
    kind: Any = Annotated[info.annotation, info]
    adapter = TypeAdapter[Any](kind)
    try:
        value: Value = adapter.validate_python(_read_value(text))
    except ValidationError:
        values = experiment.model_dump(exclude_unset=True)
        from_values(values, [f"{key}={text}"], origin=f"--over {key}={shorten(text)}")
        raise
    return value


def _read_value(text: str) -> Value:
    """Parse a value as the option `--set` does: as a number, a boolean, or else a string."""
    for read in (int, float):
        try:
            return read(text)
        except ValueError:
            continue
    return {"true": True, "false": False}.get(text, text)


def _value_of(experiment: Experiment, key: str) -> Any:
    section, _, name = key.partition(".")
    return getattr(getattr(experiment, section), name)
