"""The command line `rnnlm`: it lists the commands and turns errors into one-line messages.

The work of each command is in `flows.commands`, which calls the flows.
"""

import os
import sys
from typing import Annotated, NoReturn

import typer

from flows.commands import (
    corpora,
    deleting,
    doctor,
    exporting,
    generation,
    housekeeping,
    models,
    playing,
    reference,
    sampling,
    servers,
    starting,
    sweeps,
    training,
)
from flows.console import notes
from flows.console.endings import fail, store_failure, system_failure
from flows.console.help import WELCOME, WHERE, GroupedCommands, examples_of
from flows.runtime import startup_gc
from rnnlm import __version__
from rnnlm.errors import RnnlmError
from rnnlm.visible import visible

INTERRUPTED = 130
STORES = ("mlflow", "sqlalchemy", "sqlite3", "prefect", "httpx", "distributed")
"""Packages whose errors are failures of a store or a server, and not bugs."""
HOMELESS = {"settings", "init"}
"""Commands that do not use the home."""
HELP = {"-h", "--help"}

app = typer.Typer(
    cls=GroupedCommands,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": sorted(HELP)},
)
for command in (
    corpora.corpora,
    corpora.inspect,
    training.train,
    sweeps.sweep,
    sampling.sample,
    generation.generate,
    playing.play,
    models.evaluate,
    models.models,
    models.promote,
    models.rollback,
    models.history,
    exporting.export,
    exporting.import_,
    deleting.delete,
    reference.settings,
    starting.init,
    servers.serve,
    servers.work,
    servers.ui,
    housekeeping.housekeeping,
    doctor.doctor,
):
    name = command.__name__.rstrip("_")  # `import` is a keyword of Python
    app.command(name, epilog=examples_of(name))(command)


@app.callback(invoke_without_command=True, epilog=WHERE)
def _begin(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False,
) -> None:
    """Turn any text into a trained, versioned RNN language model; generate data sets with it."""
    if version:
        sys.stdout.write(f"rnnlm {__version__}\n")
        raise typer.Exit
    if context.invoked_subcommand is None:
        sys.stdout.write(WELCOME)
    elif context.invoked_subcommand not in HOMELESS and not HELP & {*sys.argv}:
        _say_where()


def _say_where() -> None:
    """Print the home on standard error if the user might expect another one."""
    from flows.runtime import home  # noqa: PLC0415

    if not os.environ.get(home.VARIABLE) and (project := home.project_above()) is not None:
        note = f"  home: {visible(str(project))} (to use this folder: {home.VARIABLE}=.)\n"
        sys.stderr.write(note)


def main() -> NoReturn:
    """Run the command line and exit.

    Errors that the user can correct, failures of MLflow, Prefect or their databases, and failures
    of the operating system, such as a full disk, print one line and exit with a non-zero status.
    Any other exception is a bug and is raised.
    """
    from flows.servers import embedded  # noqa: PLC0415

    startup_gc.rest()
    notes.show()
    wants_json = "--json" in sys.argv
    with embedded.leaving_at_once_if_lost():
        _run(wants_json)


def _run(wants_json: bool) -> NoReturn:
    from flows.runtime import home  # noqa: PLC0415
    from flows.servers import embedded  # noqa: PLC0415

    try:
        embedded.configure(home.named())
        status = app(standalone_mode=False)
    except RnnlmError as error:
        fail(str(error), 1, wants_json)
    except BrokenPipeError:  # nobody reads the output any more, as after `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as error:
        message = getattr(error, "format_message", None)  # click's usage errors have this method
        if message is not None:
            fail(f"{message().rstrip('.')} (see rnnlm --help)", 2, wants_json)
        store = type(error).__module__.partition(".")[0]
        if store in STORES:
            fail(store_failure(store, error), 1, wants_json)
        if not isinstance(error, OSError):
            raise
        fail(system_failure(error), 1, wants_json)
    if status == INTERRUPTED:  # Typer's status for a KeyboardInterrupt
        fail("stopped; run the same command again to resume from here", INTERRUPTED, wants_json)
    sys.exit(status if isinstance(status, int) else 0)


if __name__ == "__main__":
    main()
