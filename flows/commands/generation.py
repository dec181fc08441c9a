"""The command that generates data sets."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from flows.commands.options import Json, ModelReference, set_workers
from flows.commands.running import run_flow
from flows.console.amounts import amount
from flows.console.endings import print_json


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
    known_words_only: Annotated[
        bool | None, typer.Option("--known-words-only", help="No text with a word nobody knows.")
    ] = None,
    best_of: Annotated[
        int | None, typer.Option(metavar="K", help="Draw K texts for each, keep the likeliest.")
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
    from flows.chain import request  # noqa: PLC0415
    from flows.runtime import home  # noqa: PLC0415

    changes = {
        "count": amount(count) if count else None,
        "seed": seed,
        "temperature": temperature,
        "top_k": top_k,
        "top_p": top_p,
        "min_p": min_p,
        "repetition_penalty": repetition_penalty,
        "prefix": prefix,
        "given": request.pairs(given) if given else None,
        "min_length": min_length,
        "max_length": max_length,
        "grammar": grammar,
        "banned": banned,
        "required": required,
        "stop": stop,
        "unique": unique,
        "novel_only": novel_only,
        "valid_only": valid_only,
        "known_words_only": known_words_only,
        "best_of": best_of,
        "precision": precision,
        "format": file_format,
        "shard_size": shard_size,
    }
    here = home.current()
    set_workers(workers, scheduler)
    wanted = request.prepare(here, model, changes, prefixes, out, sys.argv)
    data_set = run_flow(
        "flows.generation:generate",
        f"{wanted.version.name}/{wanted.version.version}",
        {key: value for key, value in changes.items() if value is not None},
        str(prefixes) if prefixes else None,
        str(out) if out else None,
        command=shlex.split(wanted.about.command),
    )
    if as_json:
        version = wanted.version
        print_json({"model": version.name, "version": version.version, **data_set.model_dump()})
        return
    from flows.console import printing, screens  # noqa: PLC0415

    screens.show_texts(data_set.form, data_set.examples)
    printing.facts(
        [
            ("model", f"{wanted.version.name}/{wanted.version.version}"),
            *screens.texts_facts(data_set.model_dump() | {"path": data_set.uri}),
        ]
    )
