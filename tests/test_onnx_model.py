"""Test that onnxruntime computes the logits of every architecture, from the file alone."""

import json
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch

from rnnlm import checkpoint, onnx_model, tokenizer
from rnnlm.checkpoint import LoadedModel
from rnnlm.config.model import Architecture
from rnnlm.errors import CheckpointError
from rnnlm.models import build
from rnnlm.tokenizer import CharacterTokenizer
from tests.conftest import call_cli, tiny_experiment

onnx = pytest.importorskip("onnx", reason="the extra `onnx` is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="the extra `onnx` is not installed")
WORDS = CharacterTokenizer("abcdefgh ß")

CASES = {
    "simple": {},
    "simple, tanh, tied": {"nonlinearity": "tanh", "tie_weights": True, "embedding_size": 16},
    "gru": {"num_layers": 2},
    "lstm": {"num_layers": 2, "learned_start": True},
    "lstm, last_size": {"num_layers": 2, "last_size": 12},
    "mogrifier": {"mogrifier_rounds": 5},
    "mingru": {"num_layers": 2},
    "mingru, no convolution": {"convolution": 1, "mlp_ratio": 0.0},
}


def load(case: str, **changes: object) -> LoadedModel:
    architecture = case.partition(",")[0]
    experiment = tiny_experiment(
        model={"architecture": architecture, "dropout": 0.3, **CASES.get(case, {}), **changes}
    )
    model = build(experiment.model, WORDS.vocab_size)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return LoadedModel(model.eval(), WORDS, experiment, {})


def test_every_neural_architecture_has_a_case():
    assert {case.partition(",")[0] for case in CASES} == {*get_args(Architecture)} - {"ngram"}


@pytest.mark.parametrize("case", CASES)
def test_logits_are_those_of_torch_for_any_batch_and_time_with_the_state_carried(
    case: str, tmp_path: Path
):
    loaded = load(case)
    assert onnx_model.write(tmp_path / "x.onnx", loaded) < 1e-4
    session = onnxruntime.InferenceSession(tmp_path / "x.onnx")
    for batch, times in ((1, (1, 1, 7)), (5, (30, 2))):
        state = loaded.model.initial_state(batch)
        theirs = [part.detach().numpy() for part in state]
        for time in times:
            tokens = torch.randint(WORDS.vocab_size, (batch, time))
            with torch.no_grad():
                logits, state = loaded.model(tokens, state)
            given = {f"state_{n}": part for n, part in enumerate(theirs)}
            found, *theirs = session.run(None, {"tokens": tokens.numpy(), **given})
            assert found.shape == (batch, time, WORDS.vocab_size)
            np.testing.assert_allclose(found, logits.numpy(), atol=1e-4)


def test_the_file_alone_is_enough_to_turn_text_into_tokens_and_to_begin(tmp_path: Path):
    loaded = load("lstm")
    onnx_model.write(tmp_path / "x.onnx", loaded)
    session = onnxruntime.InferenceSession(tmp_path / "x.onnx")
    about = session.get_modelmeta().custom_metadata_map
    words = tokenizer.from_json(json.loads(about["rnnlm.tokenizer"]))
    assert words.decode(words.encode("bad ß")) == "bad ß"
    start = json.loads(about["rnnlm.initial_state"])
    for part, known in zip(start, loaded.model.initial_state(1), strict=True):
        np.testing.assert_allclose(part, known[0].detach().numpy(), atol=1e-6)
    assert [given.name for given in session.get_inputs()][:2] == ["tokens", "state_0"]
    assert [made.name for made in session.get_outputs()][:2] == ["logits", "next_state_0"]


def test_tied_weights_are_stored_once(tmp_path: Path):
    loaded = load("simple, tanh, tied")
    onnx_model.write(tmp_path / "x.onnx", loaded)
    stored = sum(int(np.prod(one.dims)) for one in onnx.load(tmp_path / "x.onnx").graph.initializer)
    assert stored <= loaded.model.parameter_count


def test_counts_of_ngrams_are_refused_and_nothing_is_written(tmp_path: Path):
    loaded = load("ngram", dropout=0.0)
    with pytest.raises(CheckpointError, match="expected a neural model"):
        onnx_model.write(tmp_path / "x.onnx", loaded)
    assert [*tmp_path.iterdir()] == []


def test_a_model_with_weights_that_are_not_finite_is_refused(tmp_path: Path):
    loaded = load("gru")
    with torch.no_grad():
        next(iter(loaded.model.parameters()))[:] = float("nan")
    with pytest.raises(CheckpointError, match="nothing was written"):
        onnx_model.write(tmp_path / "x.onnx", loaded)
    assert [*tmp_path.iterdir()] == []


def test_the_command_writes_a_model_by_name_or_path_and_says_how_close_it_is(tmp_path: Path):
    checkpoint.save(
        tmp_path / "m.safetensors", load("gru").model, WORDS, load("gru").experiment, {}
    )
    said = call_cli(tmp_path, "export", "./m.safetensors", "--onnx", "m.onnx")
    assert said.status == 0, said.err
    assert "of torch's" in said.out
    assert max(map(len, said.out.splitlines())) <= 80
    assert onnxruntime.InferenceSession(tmp_path / "m.onnx").get_outputs()[0].name == "logits"
    wrong = call_cli(tmp_path, "export", "./m.safetensors", "--onnx", "m.zip")
    assert wrong.err == "error: --onnx m.zip: expected a name that ends in .onnx\n"
