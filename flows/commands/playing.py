"""The command `play`, and the web page that `export --html` writes; both give the same page."""

import os
import sys
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.commands.options import Json
from flows.console.endings import print_json

if TYPE_CHECKING:
    from flows.lookup.finding import Found


def play(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="name, name@alias, name/version, a .safetensors file, or the base english.",
        ),
    ],
    browser: Annotated[bool, typer.Option(help="Open the page in a browser.")] = True,
    as_json: Json = False,
) -> None:
    """Open a page on which a model continues what you type; Ctrl-C ends the server."""
    from flows.console import printing  # noqa: PLC0415
    from flows.lookup.finding import find  # noqa: PLC0415
    from flows.runtime import home  # noqa: PLC0415
    from flows.servers import play_server, processes  # noqa: PLC0415

    page = page_of(find(home.current(), model, verify=True))

    def announce(address: str) -> None:
        if as_json:
            print_json({"page": address})
            return
        printing.facts([("page", address)])
        printing.out.print("\n  press Ctrl-C to stop", style="dim")
        if browser and has_window():
            webbrowser.open(address)

    with processes.ending_on_signals():
        play_server.serve(page, announce)


def page_of(found: "Found") -> bytes:
    """Return the web page of a model.

    Raises:
        CheckpointError: The checkpoint cannot be read, or has weights that are not finite.
        GenerationError: The page cannot run a model of this kind.
    """
    from rnnlm import checkpoint  # noqa: PLC0415
    from rnnlm.play import Named, write_page  # noqa: PLC0415

    reference = found.name if found.is_registered else ""
    named = Named(reference or found.checkpoint.stem, reference, found.bits_per_character)
    return write_page(checkpoint.load(found.checkpoint), named)


def write_html(found: "Found", path: Path) -> list[tuple[str, str]]:
    """Write the web page of a model to a file; return facts about it to print.

    Raises:
        CheckpointError: The checkpoint cannot be read, or has weights that are not finite.
        GenerationError: The page cannot run a model of this kind.
        StorageError: The file cannot be written.
    """
    from rnnlm.storage import write_bytes  # noqa: PLC0415

    page = page_of(found)
    write_bytes(path, page)
    return [
        ("page", f"{path}, {len(page) / 1e6:.1f} MB"),
        ("holds", "the model, its tokenizer and the engine; it needs no server and no network"),
        ("use", "open it in any browser from 2023 or later, or send it to somebody"),
    ]


def has_window() -> bool:
    """Return whether a browser would open a window here instead of taking over the terminal."""
    if sys.platform in ("darwin", "win32"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
