"""Commands that run until stopped: `ui` shows the pages, `serve` and `work` run the schedules."""

import os
import signal
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.commands.options import Json
from flows.console.endings import print_json

if TYPE_CHECKING:
    from flows.servers.standing import Standing


def ui(
    browser: Annotated[bool, typer.Option(help="Open the pages in a browser.")] = True,
    as_json: Json = False,
) -> None:
    """Serve the MLflow and Prefect pages until Ctrl-C, and open a browser where there is one."""
    from flows.commands.playing import has_window  # noqa: PLC0415
    from flows.console import printing  # noqa: PLC0415
    from flows.runtime import home  # noqa: PLC0415
    from flows.servers import hosts, pages, processes  # noqa: PLC0415

    hosts.check_host()
    with processes.ending_on_signals(), pages.serve(home.current()) as addresses:
        if as_json:
            print_json(addresses)
        else:
            printing.facts([*addresses.items()])
            printing.out.print("\n  press Ctrl-C to stop", style="dim")
            if browser and has_window():
                webbrowser.open(next(iter(addresses.values())))
        signal.pause()


def serve(
    host: Annotated[
        str,
        typer.Option(
            help="Address to listen on. Anything but loopback requires --allow-host and a password "
            "(RNNLM_PASSWORD_FILE or RNNLM_PASSWORD)."
        ),
    ] = "127.0.0.1",
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Accept this host name in addition to localhost and 127.0.0.1 (repeatable).",
        ),
    ] = None,
    prefect_port: Annotated[
        int | None,
        typer.Option(
            min=1, max=65535, metavar="PORT", help="Default: 4200, or a free port if taken."
        ),
    ] = None,
    mlflow_port: Annotated[
        int | None,
        typer.Option(
            min=1, max=65535, metavar="PORT", help="Default: 5000, or a free port if taken."
        ),
    ] = None,
    worker: Annotated[
        bool,
        typer.Option(help="Run scheduled flows on this machine, and not only by `rnnlm work`."),
    ] = True,
    as_json: Json = False,
) -> None:
    """Serve Prefect and MLflow and run the schedules in prefect.yaml until Ctrl-C."""
    from flows.console.printing import err  # noqa: PLC0415
    from flows.runtime import home  # noqa: PLC0415
    from flows.servers import hosts, processes  # noqa: PLC0415

    hosts.allow(allow_host or ())
    address = hosts.check_host(host)
    here = home.current()
    home.make_private(here.prefect)  # otherwise Prefect warns on import
    from flows.servers import standing  # noqa: PLC0415

    with (
        processes.ending_on_signals(),
        standing.serve(here, address, prefect_port, mlflow_port, works=worker) as served,
    ):
        _show(served, as_json)
        served.supervisor.run(lambda line: err.print(f"  {line}"))


def work(as_json: Json = False) -> None:
    """Run scheduled flows on a further machine, for the servers of `rnnlm serve`, until Ctrl-C.

    PREFECT_API_URL and MLFLOW_TRACKING_URI name the servers. RNNLM_HOME is a folder that all
    machines share; its path may differ between them.
    """
    from flows.console import printing  # noqa: PLC0415
    from flows.runtime import home  # noqa: PLC0415
    from flows.servers import processes  # noqa: PLC0415

    here = home.current()
    home.make_private(here.prefect)  # otherwise Prefect warns on import
    from flows.servers import working  # noqa: PLC0415

    with processes.ending_on_signals(), working.work(here) as worker:
        if as_json:
            print_json({"worker": worker.name, **worker.addresses, "log": str(worker.log)})
        else:
            facts = [("worker", worker.name), *worker.addresses.items(), ("log", str(worker.log))]
            printing.facts(facts)
            printing.out.print("\n  press Ctrl-C to stop", style="dim")
        worker.supervisor.run(lambda line: printing.err.print(f"  {line}"))


def _show(served: "Standing", as_json: bool) -> None:
    from flows.console import printing  # noqa: PLC0415
    from flows.runtime import credentials  # noqa: PLC0415
    from flows.servers.standing import due  # noqa: PLC0415

    rows = [(entry.name, entry.words, due(entry)) for entry in served.deployments]
    if as_json:
        listed = [{"name": name, "schedule": words, "next": at} for name, words, at in rows]
        shown = {"deployments": listed, "not_in_file": served.forgotten}
        addresses = {name.lower(): address for name, address in served.addresses.items()}
        print_json({**addresses, "also_at": served.further, "logs": str(served.logs), **shown})
        return
    pages = {name: served.addresses[name] for name in ("prefect", "mlflow")}
    names = [("also at", address) for address in served.further]
    printing.facts([*pages.items(), *names, ("logs", f"{served.logs}/")])
    if not rows:
        printing.out.print(
            "\n  nothing is scheduled: prefect.yaml is missing or has no deployments; "
            "`rnnlm init` writes one",
            soft_wrap=True,
        )
    else:
        widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
        printing.out.print()
        for name, words, at in rows:
            line = f"  {name:<{widths[0]}}   {words:<{widths[1]}}   {at}"
            printing.out.print(line.rstrip(), soft_wrap=True)
    if served.forgotten:
        printing.out.print("\n  still on the server but not in prefect.yaml; to delete one:")
        for name in served.forgotten:
            printing.out.print(f"  prefect deployment delete {name}", soft_wrap=True)
    printing.out.print("\n  to use these servers from other commands:", style="dim")
    for name in ("PREFECT_API_URL", "MLFLOW_TRACKING_URI"):
        printing.out.print(f"  export {name}={served.addresses[name]}", soft_wrap=True)
    if setting := credentials.setting():
        if setting == credentials.PASSWORD_FILE:
            file = Path(os.environ[setting]).resolve()
            printing.out.print(f"  export {setting}={file}", soft_wrap=True)
        user = credentials.USER
        printing.out.print(
            f"\n  MLflow: user {user} and the password; Prefect: enter {user}:PASSWORD", style="dim"
        )
    printing.out.print("\n  press Ctrl-C to stop", style="dim")
