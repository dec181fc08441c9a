"""Test the packaged model as MLflow serves it, over MLflow's own HTTP interface."""

import json
from pathlib import Path
from typing import Any

import mlflow
import pytest
from fastapi.testclient import TestClient
from mlflow.pyfunc import scoring_server

from flows.runtime.home import Home

MOST = {"max_length": 12}


@pytest.fixture(scope="module")
def served(trained: Path) -> TestClient:
    """A client of MLflow's scoring server with the champion."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(trained / "cache"))
        mlflow.set_tracking_uri(Home(trained).tracking_uri)
        model = mlflow.pyfunc.load_model("models:/tiny@champion")
    return TestClient(scoring_server.init(model))


def ask(served: TestClient, prompts: list[str | None], **params: Any) -> list[str]:
    """Return the texts for some prompts."""
    body = {"dataframe_split": {"columns": ["prompt"], "data": [[prompt] for prompt in prompts]}}
    answer = served.post("/invocations", json={**body, "params": {**MOST, **params}})
    assert answer.status_code == 200, answer.text
    return [row["text"] for row in answer.json()["predictions"]]


def refusal(served: TestClient, prompts: list[str | None], **params: Any) -> str:
    body = {"dataframe_split": {"columns": ["prompt"], "data": [[prompt] for prompt in prompts]}}
    answer = served.post("/invocations", json={**body, "params": params})
    assert answer.status_code == 400
    message: str = json.loads(answer.text)["message"]
    assert "Traceback" not in message
    return message


def test_equal_rows_get_different_texts_unless_a_seed_is_given(served: TestClient):
    assert len({*ask(served, ["red"] * 20)}) > 10
    assert len({*ask(served, ["red"] * 20, seed=1)}) == 1
    assert ask(served, ["red", "blue"], seed=1)[0] == ask(served, ["red"], seed=1)[0]


def test_none_is_an_empty_prompt(served: TestClient):
    assert ask(served, [None, ""], seed=1, count=2) == 2 * ask(served, [""], seed=1, count=2)
    assert len(ask(served, [None, None])) == 2


def test_errors_say_what_was_found_and_expected(served: TestClient):
    assert "has characters that the model never saw in training: 'Ä'" in refusal(served, ["Ä"])
    assert "temperature = -1" in refusal(served, ["red"], temperature=-1.0)
    assert "temperature" in refusal(served, ["red"], temperature="hot")
