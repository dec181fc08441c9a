"""The command line: a thin face over the flows. Heavy imports happen inside the commands."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from flows.amounts import amount
from flows.endings import fail, print_json, store_failure
from flows.interrupts import reporting
from rnnlm.errors import RnnlmError

if TYPE_CHECKING:
    from flows.registry import Version
    from rnnlm.autoconfig import Advice
    from rnnlm.config import Experiment

INTERRUPTED = 130

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Turn any text into a trained, versioned RNN language model, and that into data sets.",
)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a setting.")
]
Workers = Annotated[
    int | None, typer.Option(help="Processes that read and tokenize; default: by the size.")
]
ModelReference = Annotated[
    str, typer.Argument(metavar="MODEL", help="name, name@alias or name/version.")
]


def main() -> NoReturn:
    """Run the command line; every fault of the user's is one line and a non-zero exit."""
    from flows import home, runtime  # noqa: PLC0415

    wants_json = "--json" in sys.argv
    runtime.configure(home.current())
    try:
        status = app(standalone_mode=False)
    except RnnlmError as error:
        fail(str(error), 1, wants_json)
    except Exception as error:
        message = getattr(error, "format_message", None)  # click's usage errors have one
        if message is not None:
            fail(f"{message().rstrip('.')} (see rnnlm --help)", 2, wants_json)
        store = type(error).__module__.partition(".")[0]
        if store not in ("mlflow", "sqlalchemy", "prefect"):
            raise
        fail(store_failure(store, error), 1, wants_json)
    if status == INTERRUPTED:  # what Typer makes of a KeyboardInterrupt
        fail("stopped; run the same command again to go on from here", INTERRUPTED, wants_json)
    sys.exit(status if isinstance(status, int) else 0)


@app.command()
def corpora(as_json: Json = False) -> None:
    """List what the catalog knows."""
    from flows import home  # noqa: PLC0415
    from rnnlm.corpora.catalog import catalog  # noqa: PLC0415
    from rnnlm.corpora.fetching import is_here  # noqa: PLC0415

    cache = home.current().sources
    rows: list[dict[str, Any]] = [
        {
            "name": entry.name,
            "form": entry.form,
            "files": sum(len(source.files) for source in entry.sources),
            "bytes": entry.bytes,
            "licence": entry.licence,
            "here": is_here(entry, cache),
            "package": entry.package or None,
            "addresses": sorted({s.repository or s.package for s in entry.sources}),
            "description": entry.description,
        }
        for entry in sorted(catalog().values(), key=lambda entry: entry.name)
    ]
    if as_json:
        print_json({"corpora": rows})
        return
    from flows import screens  # noqa: PLC0415

    screens.show_corpora(rows)


@app.command()
def inspect(
    source: Annotated[str, typer.Argument(metavar="CONFIG|TEXT", help="As for train.")],
    settings: Settings = None,
    workers: Workers = None,
    as_json: Json = False,
) -> None:
    """Read, clean and tokenize a corpus, and show what it is like; train nothing."""
    from flows import home, runtime, screens  # noqa: PLC0415

    _set_workers(workers)
    advice, experiment = _experiment(source, tuple(settings or ()))
    if advice:
        screens.show_advice(advice)
    with runtime.embedded(home.current()) as server, reporting() as reporter:
        from flows.retrain import inspect as inspect_flow  # noqa: PLC0415

        if server:
            server.wait()
        corpus, tokens, report = inspect_flow(experiment)
        reporter.close()
    if as_json:
        parts = {"corpus": corpus, "tokens": tokens, "report": report}
        print_json({name: part.model_dump() for name, part in parts.items()})
    else:
        screens.show_report(corpus, tokens, report)


@app.command()
def train(
    source: Annotated[str, typer.Argument(metavar="CONFIG|TEXT", help="A .toml file, or a text.")],
    settings: Settings = None,
    workers: Workers = None,
    plan: Annotated[bool, typer.Option("--plan", help="Say what would run; run nothing.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Run every step anew.")] = False,
    as_json: Json = False,
) -> None:
    """Train a model on a configured corpus or on any text, register it, and show samples."""
    from flows import home, runtime, screens  # noqa: PLC0415

    here = home.current()
    _set_workers(workers)
    advice, experiment = _experiment(source, tuple(settings or ()))
    if advice:
        screens.show_advice(advice)
    if plan:
        _plan(experiment, force, as_json)
        return
    with runtime.embedded(here) as server, reporting() as reporter:
        from flows.retrain import retrain  # noqa: PLC0415

        if server:
            server.wait()
        result = retrain(experiment, force=force)
        reporter.close()
    if as_json:
        print_json(result)
    else:
        screens.show_result(result)


@app.command()
def generate(
    model: ModelReference,
    count: Annotated[
        str | None, typer.Option(help="Texts, such as 1000, 20k or 1M; default: of the prefixes.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of this data set alone.")] = None,
    seed: Annotated[int | None, typer.Option(help="Same seed, same texts.")] = None,
    temperature: Annotated[float | None, typer.Option(help="0 is argmax, 1 the model.")] = None,
    top_k: Annotated[int | None, typer.Option(help="Keep the k likeliest tokens.")] = None,
    top_p: Annotated[float | None, typer.Option(help="Keep the likeliest tokens up to p.")] = None,
    min_p: Annotated[
        float | None, typer.Option(help="Keep tokens p times as likely as the likeliest.")
    ] = None,
    repetition_penalty: Annotated[
        float | None, typer.Option(help="Divide the logits of tokens already there.")
    ] = None,
    prefix: Annotated[str | None, typer.Option(help="Every text begins with this.")] = None,
    prefixes: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Continue each line of a file.")
    ] = None,
    given: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="Give every text an attribute; repeatable."),
    ] = None,
    min_length: Annotated[int | None, typer.Option(help="Fewest tokens of a text.")] = None,
    max_length: Annotated[int | None, typer.Option(help="Most tokens of a text.")] = None,
    grammar: Annotated[
        str | None, typer.Option(help="color, recipe, or a regular expression for every text.")
    ] = None,
    banned: Annotated[
        list[str] | None, typer.Option(metavar="TEXT", help="No text holds this; repeatable.")
    ] = None,
    required: Annotated[
        list[str] | None, typer.Option(metavar="TEXT", help="Every text holds this; repeatable.")
    ] = None,
    stop: Annotated[
        list[str] | None, typer.Option(metavar="TEXT", help="A text ends before this; repeatable.")
    ] = None,
    unique: Annotated[bool | None, typer.Option("--unique", help="No text twice.")] = None,
    novel_only: Annotated[
        bool | None, typer.Option("--novel-only", help="No text of the training text.")
    ] = None,
    valid_only: Annotated[
        bool | None, typer.Option("--valid-only", help="Only what the corpus's form says.")
    ] = None,
    precision: Annotated[
        str | None, typer.Option(help="auto, int8, bf16 or fp32; of weights and states.")
    ] = None,
    file_format: Annotated[
        str | None, typer.Option("--format", help="parquet, jsonl or txt.")
    ] = None,
    shard_size: Annotated[int | None, typer.Option(help="Texts per file.")] = None,
    workers: Annotated[
        int | None, typer.Option(help="Processes that generate; default: by the size.")
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Dask scheduler whose workers generate.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Generate a data set of texts from a registered model."""
    from flows import generating, home, runtime  # noqa: PLC0415

    changes = {
        "count": amount(count) if count else None,
        "seed": seed,
        "temperature": temperature,
        "top_k": top_k,
        "top_p": top_p,
        "min_p": min_p,
        "repetition_penalty": repetition_penalty,
        "prefix": prefix,
        "given": generating.pairs(given) if given else None,
        "min_length": min_length,
        "max_length": max_length,
        "grammar": grammar,
        "banned": banned,
        "required": required,
        "stop": stop,
        "unique": unique,
        "novel_only": novel_only,
        "valid_only": valid_only,
        "precision": precision,
        "format": file_format,
        "shard_size": shard_size,
    }
    here = home.current()
    _set_workers(workers, scheduler)
    wanted = generating.prepare(here, model, changes, prefixes, out, sys.argv)
    with runtime.embedded(here) as server, reporting() as reporter:
        from flows.generation import generate as generate_flow  # noqa: PLC0415

        if server:
            server.wait()
        data_set = generate_flow(**wanted.arguments)
        reporter.close()
    if as_json:
        version = wanted.version
        print_json({"model": version.name, "version": version.version, **data_set.model_dump()})
        return
    from flows import console, screens  # noqa: PLC0415

    screens.show_texts(data_set.form, data_set.examples)
    console.facts(
        [
            ("model", f"{wanted.version.name}/{wanted.version.version}"),
            *screens.texts_facts(data_set.model_dump() | {"path": data_set.uri}),
        ]
    )


@app.command()
def evaluate(
    model: ModelReference,
    text: Annotated[Path | None, typer.Option(help="Score this file instead.")] = None,
    dynamic: Annotated[
        bool, typer.Option("--dynamic", help="Let it learn from what it has read.")
    ] = False,
    rate: Annotated[
        float | None, typer.Option(min=0.0, help="How fast it learns, with --dynamic.")
    ] = None,
    decay: Annotated[
        float | None, typer.Option(min=0.0, max=1.0, help="How fast it forgets, with --dynamic.")
    ] = None,
    cache: Annotated[
        int, typer.Option(min=0, metavar="STEPS", help="Let it remember so many past steps.")
    ] = 0,
    weight: Annotated[
        float | None, typer.Option(min=0.0, max=0.99, help="The memory's share, with --cache.")
    ] = None,
    flatness: Annotated[
        float | None, typer.Option(min=0.0, help="What likenesses are multiplied by, with --cache.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Score a model on its test split, or on any text."""
    from flows import console, home, registry, scoring  # noqa: PLC0415

    adaptation = scoring.choose_adaptation(dynamic, rate, decay, cache, weight, flatness)
    here = home.current()
    version = registry.resolve(here, model)
    with reporting() as reporter:
        reporter.started("evaluate")
        scored = scoring.score(
            here,
            version,
            text,
            adaptation,
            lambda progress: reporter.progressed("evaluate", progress),
        )
        reporter.close()
    if as_json:
        print_json(scoring.as_values(scored, version, text))
    else:
        console.facts(scoring.show(scored, version))


@app.command()
def models(as_json: Json = False) -> None:
    """List the registered models and their versions."""
    from flows import console, home, registry  # noqa: PLC0415

    found = registry.versions(home.current())
    if as_json:
        print_json({"models": [version.model_dump() for version in found]})
        return
    if not found:
        console.out.print(f"  no models yet; `{console.program()} train FILE` makes one")
        return
    console.table(
        ["model", "version", "alias", "test bits/character", "corpus", "why"],
        [
            [
                v.name,
                v.version,
                v.alias or "",
                f"{v.test_bits_per_character:.3f}",
                v.corpus_digest[:8],
                v.reason,
            ]
            for v in found
        ],
        right=[1, 3],
    )


@app.command()
def promote(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="The model's name.")],
    version: Annotated[str, typer.Argument(metavar="VERSION", help="The version's number.")],
    as_json: Json = False,
) -> None:
    """Make a version the champion."""
    from flows import home, registry  # noqa: PLC0415

    _show_move(registry.promote(home.current(), model, version), as_json)


@app.command()
def rollback(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="The model's name.")],
    as_json: Json = False,
) -> None:
    """Make the champion before this one champion again."""
    from flows import home, registry  # noqa: PLC0415

    _show_move(registry.rollback(home.current(), model), as_json)


@app.command()
def ui(as_json: Json = False) -> None:
    """Open the MLflow and Prefect pages; Ctrl-C closes them."""
    from flows import console, home, pages  # noqa: PLC0415

    with pages.serve(home.current()) as addresses:
        if as_json:
            print_json(addresses)
        else:
            console.facts([*addresses.items()])
            console.out.print("\n  Ctrl-C closes the pages", style="dim")
        pages.wait_for_interrupt()


def _experiment(source: str, settings: tuple[str, ...]) -> "tuple[Advice | None, Experiment]":
    """Return the experiment that a config file says, or that a text suggests.

    A text that cannot be read is refused here, before anything starts.
    """
    from flows import home  # noqa: PLC0415
    from rnnlm import config  # noqa: PLC0415
    from rnnlm.corpora.catalog import catalog  # noqa: PLC0415

    path, cache = Path(source), home.current().sources
    shipped = Path("configs") / f"{source}.toml"
    if source in catalog() and not path.exists() and shipped.is_file():
        path = shipped
    if path.suffix == ".toml":
        from rnnlm.corpora.preview import look  # noqa: PLC0415

        experiment = config.load(path, settings)
        if experiment.corpus.source not in catalog():
            look(experiment.corpus, cache)
        return None, experiment
    from rnnlm.autoconfig import advise  # noqa: PLC0415

    advice = advise(source, cache, settings)
    return advice, advice.experiment


def _set_workers(workers: int | None, scheduler: str | None = None) -> None:
    """Hand the number of processes to the tasks, which take it from the environment."""
    import os  # noqa: PLC0415

    from flows.execution import SCHEDULER, WORKERS  # noqa: PLC0415

    if workers is not None:
        os.environ[WORKERS] = str(workers)
    if scheduler is not None:
        os.environ[SCHEDULER] = scheduler


def _plan(experiment: "Experiment", force: bool, as_json: bool) -> None:
    from flows import home, registry, screens, steps  # noqa: PLC0415

    here = home.current()

    def is_registered(digest: str) -> str | None:
        version = registry.find(here, experiment.name, digest)
        return f"held by {version.name}/{version.version}" if version else None

    with steps.forced(force):
        planned = steps.plan(here, experiment, is_registered)
    if as_json:
        rows = [{"step": s.name, "cached": s.cached, "reason": s.reason} for s in planned]
        print_json({"model": experiment.name, "plan": rows})
    else:
        screens.show_plan(planned)


def _show_move(version: "Version", as_json: bool) -> None:
    if as_json:
        print_json(version.model_dump())
        return
    from flows import console  # noqa: PLC0415

    console.facts([("champion", f"{version.name}/{version.version}")])


if __name__ == "__main__":
    main()
