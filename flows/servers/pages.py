"""The MLflow and Prefect pages, served while a command runs."""

import contextlib
import sys
from collections.abc import Iterator

from flows import registry
from flows.home import Home
from flows.servers import embedded, processes
from flows.servers.processes import Command, Process
from flows.tracking import connect
from flows.tracking.views import MODEL_TRAINING, model_page, runs_page

MLFLOW_PORT, PREFECT_PORT = 5000, 4200
HOST = "127.0.0.1"


@contextlib.contextmanager
def serve(home: Home) -> Iterator[dict[str, str]]:
    """Serve both pages on the loopback interface; yield addresses that lead to what matters.

    The usual ports are taken where they are free, others where they are not.

    Raises:
        ServerError: A server did not start.
    """
    embedded.configure(home)
    client = connect(home)
    mlflow_port = processes.choose_port(HOST, None, MLFLOW_PORT, "")
    prefect_port = processes.choose_port(HOST, None, PREFECT_PORT, "")
    mlflow_page = f"http://{HOST}:{mlflow_port}"
    prefect_page = f"http://{HOST}:{prefect_port}"
    logs = home.data / "logs"
    hosts = f"{HOST}:{mlflow_port},localhost:{mlflow_port}"
    mlflow = [sys.executable, "-m", "mlflow", "server", "--workers", "1", "--port"]
    mlflow += [str(mlflow_port), "--allowed-hosts", hosts]
    mlflow += ["--backend-store-uri", home.tracking_uri, "--default-artifact-root"]
    mlflow += [str((home.mlruns / "artifacts").resolve())]
    prefect = [sys.executable, "-m", "prefect", "server", "start", "--no-services", "--port"]
    prefect += [str(prefect_port)]
    idle = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}  # GenAI jobs: six processes
    address = {"PREFECT_UI_API_URL": f"{prefect_page}/api"}
    commands = [
        Command("mlflow", mlflow, logs / "mlflow.log", idle, f"{mlflow_page}/health"),
        Command("prefect", prefect, logs / "prefect.log", address, f"{prefect_page}/api/health"),
    ]
    with contextlib.ExitStack() as stack:
        stack.enter_context(processes.guarding())
        for process in [Process(command) for command in commands]:
            stack.callback(process.end)
            process.wait_until_it_answers()
        addresses = {}
        for name in sorted({version.name for version in registry.versions(home)}):
            experiment = client.get_experiment_by_name(name)
            if experiment:
                runs = runs_page(client, experiment.experiment_id)
                addresses[f"{name} runs"] = f"{mlflow_page}{runs}"
            addresses[f"{name} model"] = f"{mlflow_page}{model_page(name)}"
        if not addresses:
            addresses["experiments"] = f"{mlflow_page}/#/experiments?{MODEL_TRAINING}"
        yield {**addresses, "flow runs": f"{prefect_page}/runs"}
