"""Commands about corpora: `corpora` lists the catalog, and `inspect` reports on one corpus."""

from typing import Annotated, Any

import typer

from flows.commands import running
from flows.commands.options import Json, Settings, Workers, read_experiment, set_workers
from flows.console.endings import print_json


def corpora(as_json: Json = False) -> None:
    """List the corpora in the catalog."""
    from flows.runtime import home  # noqa: PLC0415
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
    from flows.console import screens  # noqa: PLC0415

    screens.show_corpora(rows)


def inspect(
    source: Annotated[
        str, typer.Argument(metavar="CONFIG|TEXT", help="A .toml config, or any text.")
    ],
    settings: Settings = None,
    workers: Workers = None,
    as_json: Json = False,
) -> None:
    """Read, clean and tokenize a corpus and show a report on it, without training."""
    from flows.console import screens  # noqa: PLC0415

    set_workers(workers)
    advice, experiment = read_experiment(source, tuple(settings or ()))
    if advice:
        screens.show_advice(advice)
    with running.flow("flows.retrain:inspect") as read:
        corpus, tokens, report = read(experiment)
    if as_json:
        parts = {"corpus": corpus, "tokens": tokens, "report": report}
        print_json({name: part.model_dump() for name, part in parts.items()})
    else:
        screens.show_report(corpus, tokens, report)
