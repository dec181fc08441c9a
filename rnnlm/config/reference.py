"""List every setting of an experiment, as the configuration classes define and describe them."""

from collections.abc import Iterator
from dataclasses import astuple, dataclass
from typing import Annotated, Any, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic.fields import FieldInfo

from rnnlm.config.experiment import Experiment
from rnnlm.config.strict import Config
from rnnlm.errors import ConfigError
from rnnlm.spelling import did_you_mean


@dataclass(frozen=True)
class Setting:
    """A setting of an experiment.

    Attributes:
        key: Its dotted name, such as `training.bptt`; `[]` follows the name of a list of tables.
        values: The values that it may have, in words or as a choice.
        default: The default, as written in TOML; "" if the setting is required.
        description: What it does, on one line.
    """

    key: str
    values: str
    default: str
    description: str


def settings(section: type[Config] = Experiment, prefix: str = "") -> Iterator[Setting]:
    """Yield the settings of a section and of the sections in it, in the order of the classes."""
    for name, field in section.model_fields.items():
        inner, is_list = _section_of(field.annotation)
        if inner is not None:
            yield from settings(inner, f"{prefix}{name}{'[]' * is_list}.")
        else:
            about = " ".join((field.description or "").split())
            yield Setting(f"{prefix}{name}", _values(field), _default(field), about)


def find(key: str) -> list[Setting]:
    """Return the setting with a dotted name, or all settings of the section with that name.

    Raises:
        ConfigError: There is no such setting or section.
    """
    known = [*settings()]
    found = [s for s in known if s.key == key or s.key.startswith((f"{key}.", f"{key}[]."))]
    if not found:
        names = [name for s in known for name in (s.key, s.key.rpartition(".")[2])]
        hint = did_you_mean(key, names) or f"sections: {', '.join(sections())}"
        raise ConfigError(f"no setting {key} ({hint})")
    return found


def sections() -> dict[str, str]:
    """Return the sections of an experiment, with what each is about."""
    return {
        name: field.description or ""
        for name, field in Experiment.model_fields.items()
        if _section_of(field.annotation)[0] is not None
    }


def _section_of(kind: Any) -> tuple[type[Config] | None, bool]:
    """Return the configuration class that a type is or contains, and whether it is a list of it."""
    if isinstance(kind, type) and issubclass(kind, Config):
        return kind, False
    inner = [_section_of(part)[0] for part in get_args(kind)]
    found = next((part for part in inner if part is not None), None)
    return found, found is not None and get_origin(kind) is tuple


def _values(field: FieldInfo) -> str:
    return _said(field.annotation) + _limits(field)


def _said(kind: Any) -> str:
    """Return the values of a type in words."""
    if get_origin(kind) is Annotated:
        return _said(get_args(kind)[0])
    if get_origin(kind) is Literal:
        return " | ".join(map(str, get_args(kind)))
    if get_origin(kind) is tuple:
        return f"list of: {_said(get_args(kind)[0])}"
    if get_origin(kind) is dict:
        return "table of texts"
    if get_args(kind):
        return " or ".join(_said(part) for part in get_args(kind) if part is not type(None))
    return {bool: "true | false", int: "whole number", float: "number", str: "text"}[kind]


def _limits(field: FieldInfo) -> str:
    """Return the limits of a setting in words, with a comma before; "" without limits."""
    words = {Ge: "at least", Gt: "above", Le: "at most", Lt: "below"}
    limits = [(words[type(m)], *astuple(m)) for m in field.metadata if type(m) in words]
    return "".join(f", {word} {value:,}" for word, value in limits)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return ""
    value = field.get_default(call_default_factory=True)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, tuple):
        return "[" + ", ".join(f'"{part}"' for part in value) + "]"
    return "{}" if isinstance(value, dict) else "" if value is None else f"{value}"
