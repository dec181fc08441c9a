"""Serve the web pages of MLflow and Prefect while the command `rnnlm ui` runs."""

import contextlib
import os
from collections.abc import Iterator

from flows import registry
from flows.runtime.addresses import is_http, page
from flows.runtime.home import Home, make_private
from flows.servers import embedded, mlflow_server, prefect_server, processes
from flows.servers.processes import Process
from flows.tracking import connect
from flows.tracking.connecting import data_sets_of
from flows.tracking.views import MODEL_TRAINING, data_sets_page, model_page, runs_page

MLFLOW_PORT, PREFECT_PORT = 5000, 4200
HOST = "127.0.0.1"


@contextlib.contextmanager
def serve(home: Home) -> Iterator[dict[str, str]]:
    """Serve the web pages of MLflow and Prefect; yield the addresses of the main pages by name.

    The servers listen on 127.0.0.1, on the usual ports (5000 and 4200) if those are free, otherwise
    on other ports. If `MLFLOW_TRACKING_URI` or `PREFECT_API_URL` names a server, the pages of that
    server are used, and none is started in its place.

    Raises:
        ServerError: A server did not start.
    """
    embedded.configure(home)
    client, logs = connect(home), home.data / "logs"
    for folder in (home.prefect, logs):
        make_private(folder)
    commands = []
    mlflow_page = page(home.tracking_uri).rstrip("/")
    prefect_page = os.environ.get("PREFECT_API_URL")
    if not is_http(mlflow_page):
        port = processes.choose_port(HOST, None, MLFLOW_PORT, "")
        mlflow_page = f"http://{HOST}:{port}"
        commands.append(mlflow_server.command(home, home.tracking_uri, HOST, port, logs))
    if prefect_page:
        prefect_page = page(prefect_page).rstrip("/").removesuffix("/api")
    else:
        port = processes.choose_port(HOST, None, PREFECT_PORT, "")
        prefect_page = f"http://{HOST}:{port}"
        commands.append(prefect_server.command(HOST, port, logs, services=False))
    with contextlib.ExitStack() as stack:
        stack.enter_context(processes.guarding())
        for process in [Process(command) for command in commands]:
            stack.callback(process.end)
            process.wait_until_it_answers()
        addresses = {}
        for name in sorted({version.name for version in registry.versions(home)}):
            with registry.moving(home, name):  # makes the pages true, if aliases were moved by hand
                pass
            experiment = client.get_experiment_by_name(name)
            if experiment:
                runs = runs_page(client, experiment.experiment_id)
                addresses[f"{name} runs"] = f"{mlflow_page}{runs}"
            data_sets = client.get_experiment_by_name(data_sets_of(name))
            if data_sets:
                runs = data_sets_page(client, data_sets.experiment_id)
                addresses[f"{name} data sets"] = f"{mlflow_page}{runs}"
            addresses[f"{name} model"] = f"{mlflow_page}{model_page(name)}"
        if not addresses:
            addresses["experiments"] = f"{mlflow_page}/#/experiments?{MODEL_TRAINING}"
        yield {**addresses, "flow runs": f"{prefect_page}/runs"}
