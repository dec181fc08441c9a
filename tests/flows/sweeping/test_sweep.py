"""Test sweeps (trials of several settings): the record on disk, and a sweep killed and resumed."""

import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from mlflow.entities import Run
from mlflow.tracking import MlflowClient

from flows.runtime.home import Home
from flows.sweeping.picture import draw
from flows.sweeping.study import RANDOM_TRIALS, open_study
from flows.sweeping.trial import Trial, best_of
from rnnlm.training.trained import TrainedModel
from tests.conftest import ROOT, Finished, fork_cli, write_tiny
from tests.flows.sweeping.test_space import space_of

RATE, HIDDEN = "training.learning_rate", "model.hidden_size"


def trained(bits: float) -> TrainedModel:
    return TrainedModel(
        uri="", checkpoint="", digest="d", parameters=1, step=1, best_step=1, tokens=1,
        validation_bits_per_character=bits,
    )  # fmt: skip


def bits_of(values: Any) -> float:
    """Return made-up bits per character, lowest at a rate of 0.01 and a large size."""
    return 2.0 + abs(math.log10(values[RATE]) + 2) + 1 / float(values[HIDDEN])


@pytest.mark.slow
def test_proposals_do_not_depend_on_how_often_a_study_was_stopped(tmp_path: Path):
    space = space_of(f"{RATE}=0.0001..1", f"{HIDDEN}=8,16,32")
    count = RANDOM_TRIALS + 3

    def try_once(folder: Path) -> None:
        with open_study(folder, space) as study:
            chosen = study.next()
            assert chosen is not None
            study.finish(chosen, trained(bits_of(chosen.values)))

    with open_study(tmp_path / "once", space) as study:
        for _ in range(count):
            chosen = study.next()
            assert chosen is not None
            study.finish(chosen, trained(bits_of(chosen.values)))
        whole = study.trials()
    for number in range(count):
        with open_study(tmp_path / "stopped", space) as study:
            chosen = study.next()
            assert chosen is not None
            assert chosen.number == number + 1
            assert study.next() == chosen  # the same trial, however often it is asked
        try_once(tmp_path / "stopped")
    with open_study(tmp_path / "stopped", space) as study:
        assert study.trials() == whole
    assert len({trial.settings for trial in whole}) == count
    assert whole[0].values == {HIDDEN: 16, RATE: 0.003}  # the experiment's own values
    best = best_of(whole)
    assert best is not None
    assert best.bits_per_character == min(bits_of(trial.values) for trial in whole)


def test_every_point_of_a_small_space_is_tried_once(tmp_path: Path):
    space = space_of("model.num_layers=1..3", f"{HIDDEN}=8,16")
    with open_study(tmp_path, space) as study:
        tried = []
        while (chosen := study.next()) is not None:
            tried.append(study.finish(chosen, trained(2.0)).settings)
    assert sorted(tried) == sorted(map(space.settings, space.points()))


@pytest.mark.slow
def test_a_lagging_trial_is_hopeless_except_at_the_start_and_the_end(tmp_path: Path):
    space = space_of(f"{RATE}=0.0001..1", training={"validations": 10})
    with open_study(tmp_path, space) as study:

        def begin(bits: float, due: int) -> Trial:
            chosen = study.next()
            assert chosen is not None
            for validation in range(1, due + 1):
                study.report(chosen, validation, bits, validation, 1.0)
            return chosen

        for _ in range(3):
            chosen = begin(2.0, 10)
            assert not study.is_hopeless(chosen)
            study.finish(chosen, trained(2.0))
        bad = begin(9.0, 1)
        assert not study.is_hopeless(bad)
        study.report(bad, 1, 1.0, 1, 1.0)  # already reported: stays unchanged
        study.report(bad, 5, 9.0, 50, 2.5)
        assert study.is_hopeless(bad)
        given_up = study.give_up(bad, "step 50", failed=False)
        assert (given_up.state, given_up.bits_per_character) == ("pruned", 9.0)
        assert (given_up.step, given_up.seconds) == (50, 2.5)
        assert not study.is_hopeless(begin(1.0, 5))
        known = study.next()
        assert known is not None
        study.finish(known, trained(1.0))
        assert not study.is_hopeless(begin(9.0, 10))
        failed = study.next()
        assert failed is not None
        study.give_up(failed, "diverged", failed=True)
        assert study.next() is not None
        png = draw(space, study.trials())
    assert png.startswith(b"\x89PNG")


# A real sweep over six points, two of which learn nothing.

OVER = [f"{RATE}=0.1,0.03,1e-7", f"{HIDDEN}=8,16"]
SETTINGS = [f"{RATE}=0.1", "training.budget=6 epochs", "training.validations=6"]
SCRIPT = f"""
import json, os, signal, sys
from flows.runtime import home
from flows.servers import embedded

with embedded.serve(home.current()) as server:
    from flows import sweep as flow
    from flows.retrain import retrain
    from flows.sweeping.study import Study
    server.wait()

    def die(*_, **__):
        os.kill(os.getpid(), signal.SIGKILL)

    def stop(watch, step, progress):
        if progress.step > 40 and watch._trial.number > 1:
            if sys.argv[1] == "training":
                die()
            raise KeyboardInterrupt
        progressed(watch, step, progress)

    progressed = flow._Watch.progressed
    if sys.argv[1] in ("training", "interrupt"):
        flow._Watch.progressed = stop
    elif sys.argv[1] in ("finish", "give_up"):
        setattr(Study, sys.argv[1], die)
    run = lambda: flow.sweep("tiny.toml", {OVER}, 20, {SETTINGS})
    results = [run()]
    if sys.argv[1] == "more":
        pruned = next(t for t in results[0]["trials"] if t["state"] == "pruned")
        results += [run()]
        results += [retrain("tiny.toml", [*{SETTINGS}, *results[0]["best"]["settings"]])]
        results += [retrain("tiny.toml", [*{SETTINGS}, *pruned["settings"]])]
    print(json.dumps(results))
"""


def run_script(home: Path, how: str) -> Finished:
    """Run SCRIPT in a separate process.

    Args:
        home: The home folder.
        how: Where the process is killed or interrupted; or `more`, for a complete sweep, the same
            sweep again, and separate trainings of two trials.
    """
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "MLFLOW_"))}
    environment = {"RNNLM_HOME": str(home), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    finished = subprocess.run(
        [sys.executable, "-c", SCRIPT, how],
        cwd=home,
        env={**kept, **environment},
        capture_output=True,
        text=True,
        timeout=400,
    )
    return Finished(finished.returncode, finished.stdout, finished.stderr)


@dataclass(frozen=True)
class Swept:
    """A home in which a sweep was run twice, and two of its trials were then trained separately.

    Attributes:
        home: The folder.
        first: Result of the sweep.
        again: Result of the same sweep, run again.
        best_alone: Result of training with the settings of the best trial.
        pruned_alone: Result of training with the settings of a trial that was stopped early.
    """

    home: Path
    first: dict[str, Any]
    again: dict[str, Any]
    best_alone: dict[str, Any]
    pruned_alone: dict[str, Any]


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Swept:
    home = tmp_path_factory.mktemp("swept")
    write_tiny(home)
    finished = run_script(home, "more")
    assert finished.status == 0, finished.err
    return Swept(home, *json.loads(finished.out.splitlines()[-1]))


def runs_of(home: Path) -> tuple[Run, dict[int, Run], list[Run]]:
    """Return MLflow's run of the only sweep, the runs of its trials by number, and all runs."""
    client = MlflowClient(Home(home).tracking_uri)
    experiment = client.get_experiment_by_name("tiny")
    runs = [*client.search_runs([experiment.experiment_id])]
    (parent,) = [run for run in runs if run.data.tags.get("rnnlm.kind") == "sweep"]
    nested = [r for r in runs if r.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    numbers = [int(run.data.tags["rnnlm.trial"]) for run in nested]
    assert len({*numbers}) == len(numbers)
    return parent, dict(zip(numbers, nested, strict=True)), runs


def compared(trials: Sequence[dict[str, Any]]) -> list[Any]:
    """Return those values of trials that do not depend on how long the trials took."""
    return [
        (t["number"], t["settings"], t["state"], t["bits_per_character"], t["why"], t["checkpoint"])
        for t in trials
    ]


@pytest.mark.slow
def test_a_sweep_tries_every_point_once_and_stops_the_hopeless(swept: Swept):
    trials = swept.first["trials"]
    assert [trial["number"] for trial in trials] == [1, 2, 3, 4, 5, 6]
    assert len({tuple(trial["settings"]) for trial in trials}) == 6
    pruned = [trial for trial in trials if trial["state"] == "pruned"]
    assert pruned
    assert all(f"{RATE}=1e-07" in trial["settings"] for trial in trials[3:] if trial in pruned[-1:])
    assert swept.first["counts"]["done"] + len(pruned) == 6
    best = swept.first["best"]
    done = [t["bits_per_character"] for t in trials if t["state"] == "done"]
    assert best["bits_per_character"] == min(done)


@pytest.mark.slow
def test_the_best_trial_is_registered_judged_and_cached(swept: Swept):
    first, alone = swept.first, swept.best_alone
    assert (first["version"], first["alias"]) == (1, "champion")
    assert not first["unchanged"]
    assert alone["unchanged"]
    assert (alone["version"], alone["run_id"]) == (1, first["run_id"])
    _, nested, _ = runs_of(swept.home)
    run = nested[first["best"]["number"]]
    assert run.info.run_id == first["run_id"]
    assert run.data.tags["rnnlm.version"] == "tiny/1"
    assert run.data.metrics["test/bits_per_character"] == pytest.approx(
        first["test"]["bits_per_character"]
    )


@pytest.mark.slow
def test_the_same_sweep_again_does_nothing(swept: Swept):
    assert swept.again["unchanged"]
    for part in ("trials", "best", "version", "sweep", "sweep_run_id"):
        assert swept.again[part] == swept.first[part]


@pytest.mark.slow
def test_every_trial_is_a_run_nested_in_that_of_the_sweep(swept: Swept):
    parent, nested, _ = runs_of(swept.home)
    assert parent.info.status == "FINISHED"
    assert parent.info.run_name.startswith("sweep · 20")
    assert parent.data.params[f"over.{RATE}"] == "0.1,0.03,1e-07"
    best = swept.first["best"]
    note = parent.data.tags["mlflow.note.content"]
    assert note.startswith(f"**Validation: {best['bits_per_character']:.3f} bits per character")
    assert all(f"--set {setting}" in note for setting in best["settings"])
    assert parent.data.metrics["sweep/best_bits_per_character"] == best["bits_per_character"]
    client = MlflowClient(Home(swept.home).tracking_uri)
    pictures = client.list_artifacts(parent.info.run_id, "sweep")
    assert [picture.path for picture in pictures] == ["sweep/trials.png"]
    assert [*sorted(nested)] == [1, 2, 3, 4, 5, 6]
    for trial in swept.first["trials"]:
        run = nested[trial["number"]]
        assert run.info.run_name.endswith(trial["title"])  # that of the best has its version first
        status = {"done": "FINISHED", "pruned": "KILLED"}[trial["state"]]
        assert run.info.status == status
        assert ("rnnlm.pruned" in run.data.tags) == (trial["state"] == "pruned")
        assert "validation/bits_per_character" in run.data.metrics


@pytest.mark.slow
def test_a_pruned_trial_leaves_no_weights_and_is_trained_from_scratch_alone(swept: Swept):
    pruned = [trial for trial in swept.first["trials"] if trial["state"] == "pruned"]
    kept = [*swept.home.glob("data/models/tiny/*/pruned-history.jsonl")]
    assert len(kept) == len(pruned)
    without = [path for path in kept if not (path.parent / ".step.json").exists()]
    assert len(without) == len(pruned) - 1  # one was trained to completion afterwards
    for path in without:
        assert not [*path.parent.glob("*.safetensors")]
    assert not swept.pruned_alone["cached"]["train"]
    _, nested, runs = runs_of(swept.home)
    (own,) = [run for run in runs if run.info.run_id == swept.pruned_alone["run_id"]]
    assert own not in nested.values()
    assert own.info.status == "FINISHED"
    assert "rnnlm.pruned" not in own.data.tags
    client = MlflowClient(Home(swept.home).tracking_uri)
    curve = client.get_metric_history(own.info.run_id, "by_step/validation_bits_per_character")
    assert len({point.step for point in curve}) == len(curve) == 6


@pytest.mark.slow
@pytest.mark.soak
def test_a_sweep_killed_repeatedly_ends_like_an_uninterrupted_one(swept: Swept, tmp_path: Path):
    write_tiny(tmp_path)
    for how, status in [
        ("finish", -signal.SIGKILL),  # trained, but not recorded yet
        ("training", -signal.SIGKILL),
        ("interrupt", 1),
        ("give_up", -signal.SIGKILL),  # removed, but not recorded yet
    ]:
        finished = run_script(tmp_path, how)
        assert finished.status == status, (how, finished.err[-2000:])
    words = [word for over in OVER for word in ("--over", over)]
    words += [word for setting in SETTINGS for word in ("--set", setting)]
    finished = fork_cli(tmp_path, "sweep", "tiny.toml", *words, "--json")
    assert finished.status == 0, finished.err
    assert compared(finished.json["trials"]) == compared(swept.first["trials"])
    assert finished.json["version"] == 1
    parent, nested, runs = runs_of(tmp_path)
    assert parent.info.status == "FINISHED"
    assert [*sorted(nested)] == [1, 2, 3, 4, 5, 6]
    assert len(runs) == 7
    assert "trial " in finished.err
    shown = fork_cli(tmp_path, "sweep", "tiny.toml", *words)
    assert "nothing was done" in shown.out
    assert f"--set {RATE}=" in shown.out
