"""Load an experiment from a TOML file and `key=value` overrides; report all faults at once."""

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError

from rnnlm.config.experiment import Experiment
from rnnlm.config.generation import GenerationConfig
from rnnlm.config.strict import Config
from rnnlm.errors import ConfigError
from rnnlm.spelling import did_you_mean


def load(path: Path, overrides: Sequence[str] = ()) -> Experiment:
    """Read an experiment from a TOML file and apply `key=value` overrides.

    Args:
        path: The TOML file. If it has no `name`, its stem is the name.
        overrides: Settings such as `training.budget=30 s`. A value that is not valid TOML is taken
            as a string.

    Raises:
        ConfigError: The file is missing or not TOML, or some keys or values are wrong; all faults
            are reported at once.
    """
    try:
        with path.open("rb") as file:
            values = tomllib.load(file)
    except OSError as error:
        raise ConfigError(f"cannot read config {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # also bad UTF-8, and numbers with many digits
        raise ConfigError(f"{path} is not valid TOML: {_reason(error)}") from error
    values.setdefault("name", path.stem)
    return from_values(values, overrides, origin=str(path))


def from_values(
    values: Mapping[str, Any], overrides: Sequence[str] = (), *, origin: str
) -> Experiment:
    """Build an experiment from nested values and `key=value` overrides.

    Args:
        values: Sections and their settings, as a TOML file would give them.
        overrides: Settings that replace those in `values`.
        origin: Where the values come from, for error messages.

    Raises:
        ConfigError: Some keys or values are wrong; all faults are reported at once.
    """
    merged = {**values}
    for override in overrides:
        _apply(merged, override)
    try:
        return Experiment.model_validate(merged)
    except ValidationError as error:
        faults = _faults(error, Experiment)
        raise ConfigError(f"{origin}: {faults}") from error


def override(config: GenerationConfig, changes: Mapping[str, Any]) -> GenerationConfig:
    """Return a checked copy of `config` with the changes that are not None.

    Raises:
        ConfigError: Some values are out of range; all faults are reported at once.
    """
    given = {key: value for key, value in changes.items() if value is not None}
    try:
        return GenerationConfig.model_validate({**config.model_dump(), **given})
    except ValidationError as error:
        faults = _faults(error, GenerationConfig)
        raise ConfigError(faults) from error


def shorten(value: object, limit: int = 40) -> str:
    """Return a value as text for a message: one line of at most `limit` characters."""
    try:
        text = " ".join(repr(value).split())
    except ValueError:  # an int with too many digits to print
        text = "a very long number"
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


_UNION_MEMBER = re.compile(r"\.(bool|int|float|str|literal\[.*\])$")
"""Matches what pydantic appends to a setting that may have values of several types."""


def _apply(values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key.strip():
        raise ConfigError(
            f"--set {shorten(override)} is not an assignment (expected e.g. training.budget='30 s')"
        )
    *sections, last = key.strip().split(".")
    for section in sections:
        inner = values.get(section, {})
        if not isinstance(inner, Mapping):
            raise ConfigError(f"--set {key.strip()}: {section} is a value, not a section")
        values[section] = {**inner}
        values = values[section]
    values[last] = _toml_value(text.strip())


def _toml_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        return text


def _reason(error: Exception) -> str:
    return "it is nested too deeply" if isinstance(error, RecursionError) else str(error)


def _faults(error: ValidationError, config: type[Config]) -> str:
    """Return all faults of some values; those of the alternatives of one setting are one fault."""
    expected: dict[str, list[str]] = {}
    for fault in error.errors():
        what, wanted = _describe(fault, config)
        expected.setdefault(what, []).extend([wanted] if wanted else [])
    return "; ".join(
        f"{what} (expected {' or '.join(wanted)})" if wanted else what
        for what, wanted in expected.items()
    )


def _describe(fault: Any, config: type[Config]) -> tuple[str, str]:
    """Return a fault in words, and what was expected, or nothing if the words say it."""
    path = [str(part) for part in fault["loc"]]
    dotted = ".".join(path)
    if fault["type"] == "extra_forbidden":
        hint = did_you_mean(path[-1], _keys_at(path[:-1], config)) or "see rnnlm settings"
        return f"unknown key {dotted} ({hint})", ""
    if fault["type"] == "missing":
        return f"{dotted} is missing", ""
    said = str(fault["msg"]).removeprefix("Value error, ")
    if not path or isinstance(fault["input"], Mapping | Config):
        return said, ""
    dotted = _UNION_MEMBER.sub("", dotted)
    wanted = said.removeprefix("Input should be ").removeprefix("a valid ").partition(", unable")[0]
    return f"{dotted} = {shorten(fault['input'])}", wanted


def _keys_at(path: Iterable[str], config: type[Config]) -> list[str]:
    model: Any = config
    for part in path:
        if not part.isdigit():  # digits: the number of an entry in a list
            model = model.model_fields[part].annotation
            model = next((m for m in get_args(model) if m is not ...), model)
    return list(model.model_fields)
