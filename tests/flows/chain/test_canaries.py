"""Test that canaries are planted by the stage `train` alone, and are reported everywhere."""

import json
import re
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from flows import registry
from flows.chain.warm_start import way_of_training
from flows.runtime.home import Home
from rnnlm.audit.card import CARD_FILE
from rnnlm.corpora.documents import iter_texts
from tests.conftest import fork_cli, tiny_experiment, write_tiny


def test_keys_of_trainings_without_canaries_stay_as_they_were():
    plain = way_of_training(tiny_experiment())
    assert "canaries" not in plain
    planted = way_of_training(tiny_experiment(training={"canaries": 4}))
    assert planted == {**plain, "canaries": 4}


@pytest.mark.slow
def test_canaries_are_reported_and_leave_everything_else_alone(tmp_path: Path):
    write_tiny(tmp_path)
    settings = ("--set", "training.canaries=4", "--set", "tokenizer.kind=byte")
    finished = fork_cli(tmp_path, "train", "tiny.toml", *settings, "--json")
    assert finished.status == 0, finished.err
    result = json.loads(finished.out)
    for repeats in (1, 4, 16, 64):
        assert 0.0 <= result["test"][f"exposure_bits_planted_{repeats}"] <= 53.2

    home = Home(tmp_path)
    version, client = registry.resolve(home, "tiny"), MlflowClient(home.tracking_uri)
    assert [row.repeats for row in version.canaries] == [1, 4, 16, 64]
    for split in ("train", "validation", "test"):
        texts = iter_texts(str(tmp_path / version.corpus_uri), split)
        assert not any("The number of" in text for text in texts)
    run = client.get_run(version.run_id)
    assert run.data.metrics["test/exposure_bits_planted_64"] == pytest.approx(
        version.canaries[-1].exposure_bits
    )
    assert "Exposure of canaries" in run.data.tags["mlflow.note.content"]
    assert "generated/copied_numbers" in run.data.metrics
    assert "generated/canaries_planted_64" in run.data.metrics
    table = client.download_artifacts(version.run_id, "canaries.json")
    assert len(json.loads(Path(table).read_text())["data"]) == 4
    described = client.get_model_version("tiny", "1")
    assert "Exposure of canaries" in described.description
    review = next(tmp_path.glob("data/reviews/*/*/review.html")).read_text()
    assert "What it remembers" in review and "64×" in review
    card = (tmp_path / result["generated"]["path"] / CARD_FILE).read_text()
    assert re.search(r"\| 64× \| [\d.]+ of 53\.2 bits \| [01] of 1 \| [\d,]+ \|", card)

    plan = fork_cli(tmp_path, "train", "tiny.toml", "--set", "tokenizer.kind=byte", "--plan").out
    for stage in ("ingest", "tokenize", "count"):
        assert re.search(rf"{stage} +be cached", plan), plan
    assert re.search(r"train +run +.*training\.canaries", plan), plan
