"""Commands that write a model to a file, and that register a model from an archive."""

from pathlib import Path
from typing import Annotated, Any

import typer

from flows.commands.options import Json, ModelReference
from flows.console.endings import print_json
from rnnlm.errors import ConfigError

Row = tuple[str, str]


def export(
    model: ModelReference,
    archive: Annotated[
        Path | None,
        typer.Option(help="Everything about the version, for `rnnlm import`, ending in .zip."),
    ] = None,
    html: Annotated[
        Path | None, typer.Option(help="Web page that holds the model, ending in .html.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Small file to start training runs from, ending in .safetensors."),
    ] = None,
    onnx: Annotated[
        Path | None,
        typer.Option(help="Graph for onnxruntime, with the tokenizer, ending in .onnx."),
    ] = None,
    arpa: Annotated[
        Path | None,
        typer.Option(help="N-grams for KenLM and other programs, ending in .arpa."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write a model as one file: an archive, a web page, a base, ONNX, or ARPA."""
    from flows.console import printing  # noqa: PLC0415

    wanted = [
        (write, path, option, suffixes)
        for write, path, option, suffixes in (
            (_archive, archive, "--archive", (".zip",)),
            (_page, html, "--html", (".html", ".htm")),
            (_base, out, "--out", (".safetensors",)),
            (_onnx, onnx, "--onnx", (".onnx",)),
            (_arpa, arpa, "--arpa", (".arpa",)),
        )
        if path is not None
    ]
    if len(wanted) != 1:
        raise ConfigError(
            "expected one of --archive FILE.zip (to import elsewhere), --html FILE.html (a web "
            "page that holds the model), --out FILE.safetensors (to start training runs from), "
            "--onnx FILE.onnx (for onnxruntime) and --arpa FILE.arpa (n-grams for KenLM)"
        )
    write, path, option, suffixes = wanted[0]
    assert path is not None
    if path.suffix not in suffixes:
        raise ConfigError(f"{option} {path}: expected a name that ends in {suffixes[0]}")
    values, rows = write(model, path)
    if as_json:
        print_json(values)
    else:
        printing.facts(rows)


def _archive(model: str, path: Path) -> tuple[dict[str, Any], list[Row]]:
    from flows import registry  # noqa: PLC0415
    from flows.runtime import home  # noqa: PLC0415
    from flows.transfer import exporting  # noqa: PLC0415

    here = home.current()
    described = exporting.export(here, registry.resolve(here, model), path)
    rows = [
        ("archive", f"{path}, {_size(path)}"),
        ("model", described.said),
        ("without", "the training text"),
        ("use", f"rnnlm import {path}"),
    ]
    return {"archive": str(path), "bytes": path.stat().st_size, "model": described.said}, rows


def _page(model: str, path: Path) -> tuple[dict[str, Any], list[Row]]:
    from flows.commands.playing import write_html  # noqa: PLC0415
    from flows.lookup.finding import find  # noqa: PLC0415
    from flows.runtime import home  # noqa: PLC0415

    rows = write_html(find(home.current(), model, verify=True), path)
    return {"page": str(path), "bytes": path.stat().st_size}, rows


def _base(model: str, path: Path) -> tuple[dict[str, Any], list[Row]]:
    from flows import registry  # noqa: PLC0415
    from flows.registry import bases  # noqa: PLC0415
    from flows.runtime import home  # noqa: PLC0415

    here = home.current()
    card = bases.export(here, registry.resolve(here, model), path)
    rows = [
        ("base", f"{path}, {_size(path)}"),
        ("card", str(card)),
        ("use", f"--set training.base={path}"),
    ]
    return {"base": str(path), "bytes": path.stat().st_size, "card": str(card)}, rows


def _onnx(model: str, path: Path) -> tuple[dict[str, Any], list[Row]]:
    from flows.lookup.finding import find  # noqa: PLC0415
    from flows.runtime import home  # noqa: PLC0415
    from rnnlm import checkpoint, onnx_model  # noqa: PLC0415

    found = find(home.current(), model, verify=True)
    difference = onnx_model.write(path, checkpoint.load(found.checkpoint))
    rows = [
        ("onnx", f"{path}, {_size(path)}"),
        ("model", found.name),
        ("takes", "tokens (batch, time) and state_0, …"),
        ("gives", "logits (batch, time, vocab) and next_state_0, …"),
        ("checked", f"logits of onnxruntime within {difference:.1g} of torch's"),
    ]
    size = path.stat().st_size
    return {"onnx": str(path), "bytes": size, "model": found.name, "difference": difference}, rows


def _arpa(model: str, path: Path) -> tuple[dict[str, Any], list[Row]]:
    from flows.lookup.finding import find  # noqa: PLC0415
    from flows.runtime import home  # noqa: PLC0415
    from rnnlm import arpa, checkpoint  # noqa: PLC0415

    found = find(home.current(), model, verify=True)
    count = arpa.write(path, checkpoint.load(found.checkpoint))
    rows = [
        ("arpa", f"{path}, {_size(path)}"),
        ("model", found.name),
        ("holds", f"{count:,} n-grams"),
        ("tokens", "written as in GPT-2: a space is Ġ, a line end Ċ"),
    ]
    size = path.stat().st_size
    return {"arpa": str(path), "bytes": size, "model": found.name, "ngrams": count}, rows


def import_(
    archive: Annotated[
        Path, typer.Argument(metavar="FILE", help="Archive that `rnnlm export` wrote.")
    ],
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Name of the model here; default: its own.")
    ] = None,
    promote: Annotated[bool, typer.Option("--promote", help="Make it the champion here.")] = False,
    as_json: Json = False,
) -> None:
    """Register the model version in an archive, with its scores, curves and history."""
    from flows import registry  # noqa: PLC0415
    from flows.console import printing  # noqa: PLC0415
    from flows.runtime import home  # noqa: PLC0415
    from flows.transfer import importing  # noqa: PLC0415

    here = home.current()
    imported = importing.import_archive(here, archive, name)
    version, origin = imported.version, imported.origin
    if promote:
        why = f"imported: {origin.said}"
        version = registry.promote(here, version.name, str(version.version), why)
    if as_json:
        shown = imported.model_copy(update={"version": version})
        print_json(shown.model_dump(mode="json", exclude={"origin": {"canaries"}}))
        return
    called = f"{version.name}/{version.version}"
    state = "registered" if imported.is_new else "was registered already"
    rows = [
        ("model", f"{called}{f' @{version.alias}' if version.alias else ''}, {state}"),
        ("was", origin.said),
        ("score", f"{origin.test_bits_per_character:.3f} bits per character on its test split"),
    ]
    if not imported.has_corpus:
        rows.append(("without", "its training text, so data sets are not checked for copies"))
    if registry.by_alias(here, version.name, registry.CHAMPION) is None:
        rows.append(("use", f"rnnlm sample {called}"))
        rows.append(("or", f"rnnlm promote {version.name} {version.version}"))
    else:
        rows.append(("use", f"rnnlm sample {called}"))
    printing.facts(rows)


def _size(path: Path) -> str:
    return f"{path.stat().st_size / 1e6:.2f} MB"
