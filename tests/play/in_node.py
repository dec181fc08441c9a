"""Run the web page's own code in Node, which comes with playwright."""

import base64
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from rnnlm.checkpoint import LoadedModel
from rnnlm.config import Experiment, GenerationConfig
from rnnlm.models import LanguageModel
from rnnlm.play.describing import Named, describe
from rnnlm.play.page import PAGE_FILES, WORKER_FILES, packed
from rnnlm.tokenizer import Tokenizer
from tests.conftest import ROOT

PLAY = ROOT / "rnnlm" / "play"
_CODE = [name for name in (*WORKER_FILES, *PAGE_FILES) if name not in ("worker.js", "page.js")]


def _node() -> str | None:
    try:
        import playwright
    except ImportError:
        return shutil.which("node")
    bundled = Path(playwright.__file__).with_name("driver") / "node"
    return str(bundled) if bundled.is_file() else shutil.which("node")


NODE = _node()
needs_node = pytest.mark.skipif(NODE is None, reason="no Node on this machine")


def run_tasks(
    tasks: list[dict[str, Any]], loaded: LoadedModel | None = None, kept_bytes: int = 0
) -> list[Any]:
    """Run tasks (see driver.js) with a model, and return their results.

    Args:
        tasks: The tasks.
        loaded: The model; None if no task needs one.
        kept_bytes: Memory for rows of the first layer's table; 0 for the page's own choice.
    """
    model = base64.b64encode(packed(*describe(loaded, Named("test")))).decode() if loaded else None
    request = {
        "sources": [str(PLAY / "web" / name) for name in _CODE],
        "engine": str(PLAY / "one_text.wasm"),
        "model": model,
        "tasks": tasks,
        "keptBytes": kept_bytes,
    }
    assert NODE is not None
    finished = subprocess.run(
        [NODE, str(Path(__file__).with_name("driver.js"))],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert finished.returncode == 0, finished.stderr
    results: list[Any] = json.loads(finished.stdout)
    return results


def loaded_model(
    model: LanguageModel, tokenizer: Tokenizer, corpus: dict[str, Any] | None = None, **settings
) -> LoadedModel:
    """Return a model as if it came from a checkpoint with these settings of generation."""
    experiment = Experiment.model_validate(
        {
            "name": "test",
            "corpus": {"source": "test.txt", **(corpus or {})},
            "model": model.config.model_dump(exclude_defaults=True),
            "generation": GenerationConfig(**settings).model_dump(),
        }
    )
    return LoadedModel(model, tokenizer, experiment, {})
