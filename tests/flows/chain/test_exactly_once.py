"""Kill the process at the boundaries of registering a version, and of logging a data set.

The next run must find exactly one version, one run and one packaged model, all of them complete.
"""

import itertools
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow.entities import LoggedModelStatus
from mlflow.tracking import MlflowClient

from flows import registry, tracking
from flows.chain.count import Count
from flows.chain.evaluate import Evaluate
from flows.chain.ingest import Ingest
from flows.chain.register import Register
from flows.chain.stage import Run
from flows.chain.tokenize import Tokenize
from flows.chain.train import Train
from flows.registry import Version
from flows.retrain import take
from flows.runtime.home import Home
from flows.runtime.reporting import ProgressArtifact
from flows.tracking.connecting import curve, data_sets_of
from rnnlm.generation.job import generate
from rnnlm.training.history import read_history
from tests.conftest import lines, tiny_experiment
from tests.killing import run_until

pytestmark = pytest.mark.slow
BEFORE = (Ingest(), Tokenize(), Count(), Train(), Evaluate())


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run up to the stage before `register`."""
    root = tmp_path_factory.mktemp("made")
    (root / "text").write_text(lines(100))
    run = Run(Home(root), tiny_experiment(corpus={"source": str(root / "text")}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ProgressArtifact, "FIRST_SECONDS", 1e9)  # a bar would need a Prefect server
        take(run, BEFORE)
    return run


@pytest.fixture
def fresh(made: Run, tmp_path: Path) -> Callable[[], Run]:
    """Return a function that returns the run in another home, whose MLflow store is empty."""
    numbers = itertools.count()

    def new_run() -> Run:
        root = tmp_path / str(next(numbers))
        root.mkdir()
        (root / "data").symlink_to(made.home.data.resolve())
        os.environ.pop("MLFLOW_TRACKING_URI", None)  # MLflow sets it to the store used before
        return Run(Home(root), made.experiment, results={**made.results})

    return new_run


def check_registered(run: Run, version: Version) -> None:
    """Check that there is one version, one run and one packaged model, all of them complete."""
    home, client = run.home, MlflowClient(run.home.tracking_uri)
    (known,) = registry.versions(home, "tiny")
    assert known == version
    assert known.checkpoint == run[Train].digest
    assert registry.is_whole(home, known)
    place = client.get_experiment_by_name("tiny").experiment_id
    (own,) = client.search_runs([place])
    assert own.info.run_id == version.run_id
    assert own.info.status == "FINISHED"
    assert len(own.data.params) > 50
    assert own.data.metrics["test/bits_per_character"] > 0
    assert own.data.metrics["model/parameters"] == run[Train].parameters
    assert len(own.inputs.dataset_inputs) == 1
    points = client.get_metric_history(own.info.run_id, curve("validation/bits_per_character"))
    rows = [row for row in read_history(run[Train].uri) if "validation/bits_per_character" in row]
    assert len(points) == len(rows)
    (model,) = client.search_logged_models([place])
    assert model.status == LoggedModelStatus.READY
    assert len([*(home.mlruns / "artifacts" / "tiny" / "models").iterdir()]) == 1


def register(run: Run) -> Callable[[], object]:
    return lambda: Register().make(run)


def sweep(kind: str, kills: int | None, fresh: Callable[[], Run]) -> None:
    """Register with a kill at boundaries of a kind; check that the next run completes it.

    Args:
        kind: The kind of boundary: `commit` or `file`.
        kills: Number of kills, at evenly spread boundaries; None for one at each boundary.
        fresh: Returns a run in an empty home.
    """
    code, count = run_until(-1, register(fresh()), (kind,))
    assert code == 0
    kills = count if kills is None else kills
    assert 0 < kills <= count
    for number in range(kills):
        run = fresh()
        code, _ = run_until(number * count // kills, register(run), (kind,))
        assert code == -9
        version, _ = Register().make(run)
        check_registered(run, version)
        assert Register().make(run) == (version, True)
        assert len(registry.versions(run.home)) == 1


def test_a_kill_before_a_commit_leaves_one_version(fresh: Callable[[], Run]):
    sweep("commit", 5, fresh)


def test_a_kill_before_a_file_is_written_leaves_one_version(fresh: Callable[[], Run]):
    sweep("file", 3, fresh)


@pytest.mark.parametrize(("kind", "kills"), [("commit", 4), ("file", 2)])
def test_a_kill_while_a_data_set_is_logged_leaves_one_run(
    fresh: Callable[[], Run], tmp_path: Path, kind: str, kills: int
):
    first = fresh()
    config = first.experiment.generation
    texts = generate(Path(first[Train].checkpoint), config, tmp_path / "texts", "text")

    def log(run: Run) -> Callable[[], str]:
        corpus, tokens, model = run[Ingest], run[Tokenize], run[Train]
        trained = tracking.ensure_run(run.home, run.experiment, corpus, tokens, model)
        return lambda: tracking.log_generation(run.home, "tiny", 1, trained, texts, config)

    code, count = run_until(-1, log(first), (kind,))
    assert code == 0
    for number in range(kills):
        run = fresh()
        code, _ = run_until(number * count // kills, log(run), (kind,))
        assert code == -9
        run_id = log(run)()
        client = MlflowClient(run.home.tracking_uri)
        place = client.get_experiment_by_name(data_sets_of("tiny")).experiment_id
        (own,) = client.search_runs([place], "tags.`rnnlm.kind` = 'generation'")
        assert (own.info.run_id, own.info.status) == (run_id, "FINISHED")
        assert own.data.params["count"] == str(config.count)
        assert own.data.metrics["generated/texts"] == config.count
        logged = {each.path for each in client.list_artifacts(run_id, "generated")}
        assert {"generated/manifest.json", "generated/README.md"} <= logged


@pytest.mark.soak
@pytest.mark.parametrize(("kind", "kills"), [("commit", None), ("file", 30)])
def test_a_kill_at_any_boundary_leaves_one_version(
    fresh: Callable[[], Run], kind: str, kills: int | None
):
    sweep(kind, kills, fresh)
