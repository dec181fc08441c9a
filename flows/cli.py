"""The command line `rnnlm`: it lists the commands and turns errors into one-line messages.

The work of each command is in `flows.commands`, which calls the flows.
"""

import sys
from typing import NoReturn

import typer

from flows.commands import (
    corpora,
    generation,
    housekeeping,
    models,
    sampling,
    servers,
    sweeps,
    training,
)
from flows.console.endings import fail, store_failure
from flows.runtime import startup_gc
from rnnlm.errors import RnnlmError

INTERRUPTED = 130

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Turn any text into a trained, versioned RNN language model; generate data sets with it.",
)
for command in (
    corpora.corpora,
    corpora.inspect,
    training.train,
    sweeps.sweep,
    sampling.sample,
    generation.generate,
    models.evaluate,
    models.models,
    models.export,
    models.promote,
    models.rollback,
    models.history,
    servers.serve,
    servers.ui,
    housekeeping.housekeeping,
):
    app.command()(command)


def main() -> NoReturn:
    """Run the command line and exit.

    An error that the user can correct, or a failure of MLflow, Prefect or their databases, prints
    one line and exits with a non-zero status. Any other exception is a bug and is raised.
    """
    from flows.runtime import home  # noqa: PLC0415
    from flows.servers import embedded  # noqa: PLC0415

    startup_gc.rest()
    wants_json = "--json" in sys.argv
    try:
        embedded.configure(home.current())
        status = app(standalone_mode=False)
    except RnnlmError as error:
        fail(str(error), 1, wants_json)
    except Exception as error:
        message = getattr(error, "format_message", None)  # click's usage errors have this method
        if message is not None:
            fail(f"{message().rstrip('.')} (see rnnlm --help)", 2, wants_json)
        store = type(error).__module__.partition(".")[0]
        if store not in ("mlflow", "sqlalchemy", "prefect"):
            raise
        fail(store_failure(store, error), 1, wants_json)
    if status == INTERRUPTED:  # Typer's status for a KeyboardInterrupt
        fail("stopped; run the same command again to resume from here", INTERRUPTED, wants_json)
    sys.exit(status if isinstance(status, int) else 0)


if __name__ == "__main__":
    main()
