"""Shared fixtures: a separate home for each test, and one real run of the whole chain."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import torch

from flows.cli import main
from rnnlm.config import CorpusConfig, Experiment, SplitConfig, from_values
from rnnlm.corpora.files import locate
from rnnlm.corpora.ingestion import Corpus, ingest
from tests.forked import run_forked

hypothesis.settings.register_profile("shared", deadline=None)  # cores are shared with other tests
hypothesis.settings.register_profile(
    "quick", deadline=None, max_examples=100 if "CI" in os.environ else 25
)  # `make check`
hypothesis.settings.load_profile("shared")

ROOT = Path(__file__).parent.parent
TINY = {
    "name": "tiny",
    "corpus": {"source": "tiny.txt", "documents": "lines"},
    "splits": {"validation": 0.2, "test": 0.2},
    "model": {"hidden_size": 16, "embedding_size": 8},
    "training": {"budget": "3 epochs", "batch_size": 8, "validations": 3, "device": "cpu"},
    "generation": {"count": 30, "max_length": 20, "batch_size": 8, "shard_size": 10},
    "gate": {"beat_ngrams": False},
}
WORDS = ["red", "blue", "green", "warm grey", "pale pink", "dark teal", "old rose", "sky"]


@dataclass(frozen=True)
class Finished:
    """Result of a finished command."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Cli = Callable[..., Finished]


def lines(count: int) -> str:
    """Return `count` distinct colour-like lines."""
    names = [f"{WORDS[n % 8]} {WORDS[n // 8 % 8]}" for n in range(count)]
    return "".join(f"{name} {n % 256} {n * 7 % 256} 7\n" for n, name in enumerate(names))


def tiny_experiment(**sections: dict[str, Any]) -> Experiment:
    """Return a small experiment with some sections changed."""
    values: dict[str, Any] = {k: {**v} if isinstance(v, dict) else v for k, v in TINY.items()}
    for section, changes in sections.items():
        values[section] = {**values.get(section, {}), **changes}
    return from_values(values, origin="test")


def ingest_text(path: Path, out: Path, **corpus: Any) -> Corpus:
    """Ingest a text; hold out a fifth for validation and a fifth for testing."""
    config = CorpusConfig.model_validate({"source": str(path), **corpus})
    files = locate(config, out.parent / "cache")
    return ingest(files, config, SplitConfig(validation=0.2, test=0.2), out)


def run_cli(home: Path, *arguments: str, cwd: Path | None = None, **environment: str) -> Finished:
    """Run the command line in a separate process, with its state under `home`."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "MLFLOW_"))}
    finished = subprocess.run(
        [sys.executable, "-m", "flows.cli", *arguments],
        cwd=cwd or home,
        env={**kept, "RNNLM_HOME": str(home), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        | environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    return Finished(finished.returncode, finished.stdout, finished.stderr)


def fork_cli(home: Path, *arguments: str, **environment: str) -> Finished:
    """Run the command line in a process that shares imports and a Prefect server with others."""
    return Finished(*run_forked(arguments, home, environment))


def call_cli(home: Path, *arguments: str) -> Finished:
    """Run the command line in this process, which is much faster for commands without a flow."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RNNLM_HOME", str(home))
        patch.setattr(sys, "argv", ["rnnlm", *arguments])
        patch.chdir(home)
        with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as left:
            main()
    return Finished(int(left.value.code or 0), out.getvalue(), err.getvalue())


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that use a real run of the chain as slow."""
    for item in items:
        if "trained" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="module", autouse=True)
def _no_store_of_another_module() -> None:
    """Unset MLflow's store, which an earlier module may have left in the environment."""
    os.environ.pop("MLFLOW_TRACKING_URI", None)


@pytest.fixture(autouse=True)
def _one_home_per_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Isolate each test's state from the project's and from that of other tests."""
    monkeypatch.setenv("RNNLM_HOME", str(tmp_path))
    for name in ("PREFECT_API_URL", "PREFECT_HOME", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    torch.manual_seed(0)
    torch.set_num_threads(1)  # more threads do not speed up tiny models, and tests may share cores


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which the whole chain has run once on a tiny corpus; treat it as read-only."""
    home = tmp_path_factory.mktemp("trained")
    write_tiny(home)
    finished = run_cli(home, "train", "tiny.toml", "--json")
    assert finished.status == 0, finished.err
    (home / "result.json").write_text(finished.out)
    return home


def write_tiny(home: Path) -> None:
    """Write the tiny corpus and its config."""
    (home / "tiny.txt").write_text(lines(200))
    (home / "tiny.toml").write_text(
        """
        [corpus]
        source = "tiny.txt"
        form = "color"
        [splits]
        validation = 0.2
        test = 0.2
        [model]
        hidden_size = 16
        embedding_size = 8
        [training]
        budget = "3 epochs"
        batch_size = 8
        validations = 3
        device = "cpu"
        [generation]
        count = 30
        max_length = 30
        batch_size = 8
        shard_size = 10
        [gate]
        beat_ngrams = false
        """
    )
