"""Create command-line options from a configuration class.

The names, types and help texts of the options are those of the class's fields.
"""

import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

import typer
from pydantic import BaseModel

from rnnlm.errors import ConfigError

Command = TypeVar("Command", bound=Callable[..., Any])
Parser = Callable[[str], Any]
PAIR = "KEY=VALUE"


def options_of(
    config: type[BaseModel],
    parsers: Mapping[str, Parser] | None = None,
    *,
    shorts: Mapping[str, str] | None = None,
    without: Collection[str] = (),
) -> Callable[[Command], Command]:
    """Return a decorator that adds an option to a command for each field of a configuration class.

    The command receives the values of the options as `**settings`; an option that the user does
    not give is None. The description of a field is the help text of its option. Fields that are
    tuples or mappings become options that the user can repeat.

    Args:
        config: The class. Its fields become options, in order, after the command's first parameter.
        parsers: Functions that parse the text of an option, by field name. Options without such a
            function are parsed according to the field's type.
        shorts: Short forms of options, such as `-n`, by field name.
        without: Fields that get no option.
    """

    def decorate(command: Command) -> Command:
        signature = inspect.signature(command, eval_str=True)
        first, *others = [
            parameter
            for parameter in signature.parameters.values()
            if parameter.kind is not inspect.Parameter.VAR_KEYWORD
        ]
        options = [
            _option(
                name,
                field.annotation,
                field.description or "",
                (parsers or {}).get(name),
                (shorts or {}).get(name),
            )
            for name, field in config.model_fields.items()
            if name not in without
        ]
        others = [other.replace(kind=inspect.Parameter.KEYWORD_ONLY) for other in others]
        changed = signature.replace(parameters=[first, *options, *others])
        command.__signature__ = changed  # type: ignore[attr-defined]  # Typer reads it
        return command

    return decorate


def pairs(texts: Sequence[str] | None) -> dict[str, str] | None:
    """Return `KEY=VALUE` texts as a mapping, or None if there are none.

    Raises:
        ConfigError: A text is not of the form `KEY=VALUE`.
    """
    for text in texts or ():
        if not text.partition("=")[0] or "=" not in text:
            raise ConfigError(f"--given {text!r} (expected {PAIR}, such as brand=behr)")
    return dict(text.split("=", 1) for text in texts) if texts else None


def _option(
    name: str, kind: Any, description: str, parser: Parser | None, short: str | None
) -> inspect.Parameter:
    """Return the command parameter, with its option, that sets a field.

    Args:
        name: Name of the field.
        kind: Type of the field.
        description: Help text.
        parser: Function that parses the option's text; None to parse it according to `kind`.
        short: Short form of the option; None for none.
    """
    flags = [f"--{name.replace('_', '-')}", *([short] if short else [])]
    option: dict[str, Any] = {"help": " ".join(description.split()), "parser": parser}
    origin = get_origin(kind)
    if origin is Literal:
        option["metavar"], kind = "|".join(get_args(kind)), str
    elif origin in (tuple, dict):
        option["metavar"], kind = (PAIR if origin is dict else "TEXT"), list[str]
        option["help"] += " Repeatable."
    if parser is not None:
        option["metavar"] = "NUMBER"
    annotated = Annotated[kind | None, typer.Option(*flags, **option)]
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotated
    )
