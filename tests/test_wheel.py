"""Test the wheel in a project that has a package `flows` of its own.

The wheel is built without a compiler, and installed without a network into a new environment that
finds the other packages in the present one.
"""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import ROOT, lines, write_tiny

pytestmark = pytest.mark.slow

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("built")
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    for name in ("rnnlm", "rnnlm_flows", "flows"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("*.so", "__py*"))
    words = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"]
    subprocess.run(
        [*words, "--no-index", "-w", "dist", "."],
        cwd=folder, env=os.environ | {"CC": "false"}, check=True, capture_output=True,
    )  # fmt: skip
    (found,) = (folder / "dist").glob("*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder `bin` of an environment with the wheel."""
    folder = tmp_path_factory.mktemp("installed") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    python = folder / "bin" / "python"
    words = [sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-deps"]
    subprocess.run([*words, "--no-index", wheel], check=True, capture_output=True)
    (own,) = folder.glob("lib/python*/site-packages")
    (own / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "bin"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with its own `flows`, and a text to train on."""
    folder = tmp_path_factory.mktemp("project")
    write_tiny(folder)
    (folder / "flows").mkdir()
    (folder / "flows" / "__init__.py").write_text("OWNER = 'the user'\n")
    (folder / "flows" / "mine.py").write_text(
        "from prefect import flow\nfrom flows import OWNER\n\n"
        "@flow\ndef mine():\n    return OWNER\n"
    )
    return folder


@pytest.fixture(scope="module")
def run(installed: Path, project: Path) -> Run:
    kept = {
        k: v
        for k, v in os.environ.items()
        if not k.startswith(("PREFECT_", "MLFLOW_", "PYTHON", "RNNLM_"))
    }

    def call(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        ended = subprocess.run(
            [installed / program, *arguments],
            cwd=project, env=kept, capture_output=True, text=True, timeout=600,
        )  # fmt: skip
        assert ended.returncode == 0, ended.stderr
        return ended

    return call


@pytest.fixture(scope="module")
def trained(run: Run) -> dict:
    """The result of a training with the installed command."""
    return json.loads(run("rnnlm", "train", "tiny.toml", "--json").stdout)


def test_the_wheel_has_no_package_that_is_likely_to_hide_one_of_the_user(wheel: Path):
    with zipfile.ZipFile(wheel) as archive:
        tops = {name.partition("/")[0] for name in archive.namelist()}
        names = {*archive.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"rnnlm", "rnnlm_flows"}
    assert "rnnlm_flows/flows/cli.py" in names
    assert "rnnlm_flows/flows/configs/colors-demo.toml" in names


def test_the_command_starts_in_both_ways_beside_another_package_flows(run: Run):
    assert run("rnnlm", "--version").stdout == run("python", "-m", "rnnlm", "--version").stdout


def test_a_package_flows_of_the_user_is_found_with_or_without_an_init(run: Run, tmp_path: Path):
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows" / "mine.py").write_text("X = 1\n")
    script = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); sys.path.remove(''); "
    run("python", "-c", script + "import rnnlm, flows.mine; assert flows.mine.X == 1")
    run("python", "-c", "import rnnlm, flows.mine; assert flows.OWNER == 'the user'")


def test_a_training_uses_our_flows_and_not_those_of_the_project(trained: dict, project: Path):
    assert (trained["model"], trained["version"]) == ("tiny", 1)
    assert (project / "mlruns" / "mlflow.db").is_file()


def test_a_model_loads_by_name_beside_the_flows_of_the_user(trained: dict, run: Run):
    for order in ("import flows.mine, rnnlm", "import rnnlm"):
        run(
            "python",
            "-c",
            f"{order}; texts = rnnlm.load('tiny').sample(2); assert len(texts) == 2\n"
            "import flows, flows.mine; assert flows.OWNER == 'the user'\n"
            "assert flows.mine.mine.fn() == 'the user'\n"
            "assert len(rnnlm.load('tiny').sample(1)) == 1",
        )


def test_mlflow_loads_the_packaged_model(trained: dict, run: Run):
    run(
        "python",
        "-c",
        "import flows.mine, mlflow, pandas as pd\n"
        "mlflow.set_tracking_uri('sqlite:///mlruns/mlflow.db')\n"
        "model = mlflow.pyfunc.load_model('models:/tiny@champion')\n"
        "assert len(model.predict(pd.DataFrame({'prompt': ['']}), params={'count': 2})) == 2",
    )


def test_prefect_finds_our_flows_and_those_of_the_user(run: Run):
    load = "from prefect.flows import load_flow_from_entrypoint as load\n"
    run("python", "-c", f"{load}assert load('flows/mine.py:mine').fn() == 'the user'")
    run("python", "-c", f"{load}assert load('rnnlm_flows.retrain').name == 'retrain'")
    run("python", "-c", f"{load}assert load('rnnlm_flows.housekeeping').name == 'housekeeping'")


def test_workers_of_several_processes_find_our_flows(trained: dict, run: Run):
    said = run("rnnlm", "generate", "tiny", "--count", "40", "--workers", "2", "--json")
    assert json.loads(said.stdout)["count"] == 40


BOTH_RUN = """
import sys, time
from prefect.client.orchestration import SyncPrefectClient

with SyncPrefectClient(sys.argv[1]) as client:
    runs = [
        client.create_flow_run_from_deployment(client.read_deployment_by_name(name).id).id
        for name in ("retrain/retrain-nightly", "mine/own")
    ]
    deadline = time.monotonic() + 400
    while not all(client.read_flow_run(run).state.is_final() for run in runs):
        assert time.monotonic() < deadline
        time.sleep(1)
    states = [client.read_flow_run(run).state for run in runs]
    assert all(state.is_completed() for state in states), states
"""


@pytest.mark.service
@pytest.mark.soak
def test_serve_runs_the_schedules_of_a_new_project(run: Run, installed: Path, project: Path):
    made = json.loads(run("rnnlm", "init", "new", "--json").stdout)
    folder = Path(made["project"])
    (folder / "tiny.txt").write_text(lines(200))
    shutil.copy(project / "tiny.toml", folder / "rnnlm.toml")
    shutil.copytree(project / "flows", folder / "flows")
    with (folder / "prefect.yaml").open("a") as file:
        file.write("  - {name: own, entrypoint: flows/mine.py:mine, work_pool: *pool}\n")
    kept = {
        k: v
        for k, v in os.environ.items()
        if not k.startswith(("PREFECT_", "MLFLOW_", "PYTHON", "RNNLM_"))
    }
    with subprocess.Popen(
        [installed / "rnnlm", "serve", "--json"],
        cwd=folder, env=kept | {"PREFECT_WORKER_QUERY_SECONDS": "2"}, stdout=subprocess.PIPE,
        text=True,
    ) as serving:  # fmt: skip
        try:
            assert serving.stdout is not None
            line = serving.stdout.readline()
            assert line
            served = json.loads(line)
            names = [entry["name"] for entry in served["deployments"]]
            assert names[0] == "retrain-nightly"
            run("python", "-c", BOTH_RUN, served["prefect_api_url"])
        finally:
            serving.terminate()
