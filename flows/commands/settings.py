"""Command-line options made from a configuration class: one source for names, types and help."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

import typer
from pydantic import BaseModel

from rnnlm.errors import ConfigError

Command = TypeVar("Command", bound=Callable[..., Any])
Parser = Callable[[str], Any]
PAIR = "KEY=VALUE"


def options_of(
    config: type[BaseModel], parsers: Mapping[str, Parser] | None = None
) -> Callable[[Command], Command]:
    """Add an option to a command for each field of a configuration class.

    The command takes them as `**settings`; an option that is not given is None. The docstring of a
    field is the help of its option. Lists and mappings become options that can be repeated.

    Args:
        config: The class. Its fields become options, in order, after the command's first parameter.
        parsers: Parsers of options, by field name. Other options are parsed by their type.
    """

    def decorate(command: Command) -> Command:
        signature = inspect.signature(command, eval_str=True)
        first, *others = [
            parameter
            for parameter in signature.parameters.values()
            if parameter.kind is not inspect.Parameter.VAR_KEYWORD
        ]
        options = [
            _option(name, field.annotation, field.description or "", (parsers or {}).get(name))
            for name, field in config.model_fields.items()
        ]
        others = [other.replace(kind=inspect.Parameter.KEYWORD_ONLY) for other in others]
        changed = signature.replace(parameters=[first, *options, *others])
        command.__signature__ = changed  # type: ignore[attr-defined]  # Typer reads it
        return command

    return decorate


def pairs(texts: Sequence[str] | None) -> dict[str, str] | None:
    """Return `KEY=VALUE` texts as a mapping.

    Raises:
        ConfigError: A text does not have this form.
    """
    for text in texts or ():
        if not text.partition("=")[0] or "=" not in text:
            raise ConfigError(f"--given {text!r} (expected {PAIR}, such as brand=behr)")
    return dict(text.split("=", 1) for text in texts) if texts else None


def _option(name: str, kind: Any, description: str, parser: Parser | None) -> inspect.Parameter:
    """Return the command parameter that sets a field."""
    flag = f"--{name.replace('_', '-')}"
    option: dict[str, Any] = {"help": " ".join(description.split()), "parser": parser}
    origin = get_origin(kind)
    if origin is Literal:
        option["metavar"], kind = "|".join(get_args(kind)), str
    elif origin in (tuple, dict):
        option["metavar"], kind = (PAIR if origin is dict else "TEXT"), list[str]
        option["help"] += " Repeatable."
    if parser is not None:
        option["metavar"] = "NUMBER"
    annotated = Annotated[kind | None, typer.Option(flag, **option)]
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotated
    )
