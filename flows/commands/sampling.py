"""The command `sample`, which prints texts as they are drawn; it starts no server."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.commands.settings import options_of, pairs
from flows.console.amounts import amount
from flows.console.endings import print_json
from rnnlm.config import COMPARING, GenerationConfig
from rnnlm.errors import ConfigError

if TYPE_CHECKING:
    from flows.console.drawn import Drawn

COUNT = 10
SEEDS = 10**6
"""Random seeds are below this, so that they are easy to type."""
INTERRUPTED = 130
OF_DATA_SETS = ("format", "shard_size", "batch_size", *COMPARING)
"""Settings that only data sets have, or that need the training text."""


def temperatures(text: str) -> tuple[float, ...]:
    """Return the temperatures in a text such as `0.7` or `0.3,0.7,1.1`.

    Raises:
        ConfigError: A part of the text is not a number.
    """
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise ConfigError(
            f"--temperature {text} (expected a number, or several such as 0.3,0.7,1.1)"
        ) from None


@options_of(
    GenerationConfig,
    {"count": amount, "temperature": temperatures},
    shorts={"count": "-n", "temperature": "-t"},
    without=OF_DATA_SETS,
)
def sample(
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="MODEL",
            help="name, name@alias, name/version, or a model's path; default: the champion.",
        ),
    ] = None,
    beginning: Annotated[
        str | None, typer.Argument(metavar="PREFIX", help="The same as --prefix.")
    ] = None,
    surprise: Annotated[
        bool,
        typer.Option("--surprise", help="Colour characters by how unlikely they were."),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object per text and nothing else.")
    ] = False,
    **settings: Any,
) -> None:
    """Print texts as they are drawn: no server, no MLflow run, no data set.

    Options that are not given default to the model's configuration, except that 10 texts are drawn
    and the seed is random. Several temperatures, such as -t 0.3,0.7,1.1, are shown side by side.
    """
    if beginning is not None and settings["prefix"] is not None:
        raise ConfigError("PREFIX and --prefix are both given; leave one of them out")
    if beginning is not None:
        settings["prefix"] = beginning
    is_shown = not as_json and (sys.stdout.isatty() or bool(os.environ.get("FORCE_COLOR")))
    is_seed_chosen = settings["seed"] is None
    if is_seed_chosen:
        settings["seed"] = secrets.randbelow(SEEDS)
    status = 0
    drawn = _draw(model, settings, costs=surprise and (as_json or is_shown))
    try:
        if as_json:
            _print_json(drawn)
        elif is_shown:
            from flows.console.drawn import show  # noqa: PLC0415 - imports rich

            show(drawn, surprise=surprise)
        else:
            _print_plainly(drawn)
    except BrokenPipeError:  # nobody reads the output any more, as after `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return
    except KeyboardInterrupt:
        status = INTERRUPTED
    if is_seed_chosen:
        sys.stderr.write(f"  to draw them again: --seed {settings['seed']}\n")
    sys.exit(status)


def _draw(model: str | None, settings: dict[str, Any], *, costs: bool) -> Sequence[Drawn]:
    """Return the streams of texts to print, one for each temperature; nothing is drawn yet.

    Args:
        model: The model that the user named, if any.
        settings: Values of the options, by name; None for those that are not given.
        costs: Whether to compute the bits of each character, which `--surprise` shows.
    """
    from flows.console.drawn import Drawn  # noqa: PLC0415
    from flows.lookup import finding  # noqa: PLC0415
    from flows.runtime import home  # noqa: PLC0415
    from rnnlm.engine.loading import load_sampler  # noqa: PLC0415
    from rnnlm.generation.streaming import settings_for, stream  # noqa: PLC0415

    here = home.current()
    if model is not None:
        found = finding.find(here, model)
        if found.is_second_choice:
            sys.stderr.write(f"  {found.name}, the challenger, since there is no champion yet\n")
    else:
        found, why = finding.find_default(here)
        if why:
            sys.stderr.write(f"  {found.name}, since {why}\n")
    precision = settings["precision"] or "auto"
    sampler = load_sampler(found.checkpoint, found.folder, found.digest, precision)
    changes = {
        **settings,
        "count": settings["count"] or COUNT,
        "given": pairs(settings["given"]),
        "precision": sampler.precision,
    }
    chosen = settings["temperature"] or (sampler.experiment.generation.temperature,)
    configs = [settings_for(sampler, {**changes, "temperature": one}) for one in chosen]
    form = sampler.experiment.corpus.form
    return [Drawn(found.name, form, c, stream(sampler, c, costs=costs)) for c in configs]


def _print_plainly(drawn: Sequence[Drawn]) -> None:
    """Print texts one after the other; a blank line follows a text of several lines."""
    for one in drawn:
        if len(drawn) > 1:
            _write(f"temperature {one.config.temperature:g}")
        for text in one.texts:
            _write(f"{text.text}\n" if "\n" in text.text else text.text)


def _print_json(drawn: Sequence[Drawn]) -> None:
    for one in drawn:
        for text in one.texts:
            print_json(
                {
                    "model": one.model,
                    "temperature": one.config.temperature,
                    "seed": one.config.seed,
                    "number": text.number,
                    "text": text.text,
                    **({"given": dict(text.values)} if text.values else {}),
                    "tokens": text.tokens,
                    "log_prob_nats": text.log_prob_nats,
                    "complete": text.complete,
                    **({"bits": [*_rounded(text.bits)]} if text.bits else {}),
                }
            )


def _rounded(bits: Sequence[float]) -> Iterator[float | None]:
    """Yield bits with three decimals, and None for characters that the model was given."""
    return (round(one, 3) if one == one else None for one in bits)


def _write(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
