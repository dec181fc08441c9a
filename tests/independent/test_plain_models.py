"""Test the loss, gradients and perplexity of each architecture against plain PyTorch modules."""

import math
from typing import Any, get_args

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from rnnlm.batching import windows
from rnnlm.config import ModelConfig, TrainingConfig
from rnnlm.config.model import Architecture
from rnnlm.evaluation.scoring import evaluate
from rnnlm.models import NeuralLanguageModel, build, gru, lstm, simple, stack
from rnnlm.models.dropping import FeatureDropout
from rnnlm.training.objective import objective
from tests.independent.plain_models import Masks, Outputs, PlainModel, Weights
from tests.ngrams import arrays_of

VOCAB = 9
AWD = {
    "embedding_size": 12,
    "tie_weights": True,
    "num_layers": 3,
    "last_size": 12,
    "weight_dropout": 0.5,
    "embedding_dropout": 0.2,
    "input_dropout": 0.4,
    "layer_dropout": 0.25,
    "output_dropout": 0.3,
}
CASES: dict[str, dict[str, Any]] = {
    "simple, tanh": {"nonlinearity": "tanh", "num_layers": 2},
    "simple, sigmoid": {"num_layers": 2, "weight_dropout": 0.3, "learned_start": True},
    "gru": {"num_layers": 2, "last_size": 6},
    "gru, dropout": {"num_layers": 2, "weight_dropout": 0.3, "dropout": 0.2},
    "lstm": {"num_layers": 2, "learned_start": True},
    "lstm, AWD": AWD,
    "lstm, AWD, not locked": AWD | {"locked_dropout": False},
    "mogrifier": {"num_layers": 2},
    "mogrifier, 4 rounds, dropout": {"mogrifier_rounds": 4, "weight_dropout": 0.4, "dropout": 0.2},
    "mingru": {"num_layers": 2},
    "mingru, dropout": {"num_layers": 2, "dropout": 0.3, "convolution": 3},
    "mingru, bare": {"convolution": 1, "mlp_ratio": 0.0},
}
PENALTIES = TrainingConfig(activation_penalty=2.0, temporal_penalty=1.0, label_smoothing=0.1)
DOCUMENTS = [
    torch.randint(1, VOCAB, (length,), generator=torch.Generator().manual_seed(length)).tolist()
    for length in (17, 1, 9, 0, 23)
]
LONG = [*DOCUMENTS, DOCUMENTS[0] * 12]
"""Documents to score; the last is longer than the windows in which scoring reads."""


def model_of(case: str, dtype: torch.dtype) -> NeuralLanguageModel:
    architecture = case.partition(",")[0]
    values = {"architecture": architecture, "embedding_size": 5, "hidden_size": 8, **CASES[case]}
    torch.manual_seed(1)
    model = build(ModelConfig.model_validate(values), VOCAB).to(dtype)
    assert isinstance(model, NeuralLanguageModel)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.4)
    return model


def watch(model: NeuralLanguageModel, patch: pytest.MonkeyPatch) -> Masks:
    """Record what dropout keeps when the model runs; only zeros are read, never the scale."""
    masks = Masks()

    def features_of(name: str, locked: bool) -> Any:
        def hook(_: Any, given: tuple[Tensor], result: Tensor) -> None:
            kept = (result != 0).any(0, keepdim=True) if locked else result != 0
            if not model.training:
                return
            assert torch.equal(result != 0, kept & (given[0] != 0))
            masks.features[name].append(kept)

        return hook

    for name, module in model.named_modules():
        if isinstance(module, FeatureDropout) and module.share:
            module.register_forward_hook(features_of(name, model.config.locked_dropout))

    def rows(table: Tensor, *arguments: Any, real: Any = stack.drop_rows) -> Tensor:
        result: Tensor = real(table, *arguments)
        masks.rows = (result != 0).any(1, keepdim=True)
        assert torch.equal(result != 0, masks.rows & (table != 0))
        return result

    def weights(matrix: Tensor, *arguments: Any, real: Any = lstm.drop_weights) -> Tensor:
        result: Tensor = real(matrix, *arguments)
        masks.weights.append(result != 0)
        return result

    if model.config.embedding_dropout:
        patch.setattr(stack, "drop_rows", rows)
    if model.config.weight_dropout:
        for module in (lstm, gru, simple):
            patch.setattr(module, "drop_weights", weights)
    return masks


def padded(documents: list[list[int]]) -> tuple[Tensor, Tensor]:
    """Return inputs and targets, each of shape (documents, time); −100 is no target."""
    time = max(map(len, documents)) + 1
    inputs = torch.tensor([[0, *d, *[0] * (time - 1 - len(d))] for d in documents])
    targets = torch.tensor([[*d, 0, *[-100] * (time - 1 - len(d))] for d in documents])
    return inputs, targets


def plain_loss(outputs: Outputs, targets: Tensor, config: TrainingConfig) -> Tensor:
    counted = targets != -100
    tokens = counted.sum()
    smoothing = config.label_smoothing
    flat = outputs.logits.flatten(0, 1), targets.flatten()
    loss = functional.cross_entropy(*flat, label_smoothing=smoothing, ignore_index=-100)
    squares = outputs.dropped[counted].square().mean(1).sum()
    changes = (outputs.features[:, 1:] - outputs.features[:, :-1])[counted[:, 1:]]
    alpha, beta = config.activation_penalty, config.temporal_penalty
    return loss + (alpha * squares + beta * changes.square().mean(1).sum()) / tokens


def test_every_architecture_has_a_case():
    assert {case.partition(",")[0] for case in CASES} == {*get_args(Architecture)} - {"ngram"}


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 5e-6)])
@pytest.mark.parametrize("case", CASES)
def test_loss_and_gradients_are_those_of_plain_modules(
    case: str, dtype: torch.dtype, tolerance: float, monkeypatch: pytest.MonkeyPatch
):
    model = model_of(case, dtype).train()
    masks = watch(model, monkeypatch)
    config = TrainingConfig()
    if "AWD" in case:
        config, tolerance = PENALTIES, max(tolerance, 1e-7)  # penalties are summed in float32
    (window,) = windows(arrays_of(DOCUMENTS), "documents", len(DOCUMENTS), 1)
    state = model.initial_state(len(DOCUMENTS))
    window = window.to(model.device)
    ours = objective(model, window, state, config, window.tokens, torch.float32)
    ours.loss.backward()

    named = dict(model.named_parameters())
    weights: Weights = {n: p.detach().double().requires_grad_() for n, p in named.items()}
    inputs, targets = padded([DOCUMENTS[n] for n in window.documents.tolist()])
    outputs = PlainModel(model.config, weights, masks)(inputs)
    theirs = plain_loss(outputs, targets, config)
    theirs.backward()

    assert ours.loss.item() == pytest.approx(theirs.item(), rel=tolerance)
    nll = functional.cross_entropy(
        outputs.logits.flatten(0, 1), targets.flatten(), ignore_index=-100, reduction="sum"
    )
    assert ours.nll_nats.item() == pytest.approx(nll.item(), rel=tolerance)
    largest = max(weight.grad.abs().max().item() for weight in weights.values())  # type: ignore[union-attr]
    for name, parameter in named.items():
        assert parameter.grad is not None, name
        expected = weights[name].grad
        assert expected is not None
        assert expected.abs().max() > 1e-4 * largest, name
        torch.testing.assert_close(
            parameter.grad.double(),
            expected,
            rtol=0,
            atol=tolerance * largest,
            msg=lambda text, name=name: f"{name}: {text}",
        )


@pytest.mark.parametrize("case", CASES)
def test_perplexity_is_that_of_plain_modules_document_by_document(case: str):
    model = model_of(case, torch.float32).eval()
    weights = {n: p.detach().double() for n, p in model.named_parameters()}
    plain = PlainModel(model.config, weights, Masks())
    nats = []
    for document in LONG:
        inputs, targets = padded([document])
        logits = plain(inputs).logits[0]
        rows = torch.log_softmax(logits, -1)
        nats += [-row[target].item() for row, target in zip(rows, targets[0], strict=True)]
    score = evaluate(model, arrays_of(LONG)).score
    assert score.tokens == len(nats) == sum(len(document) + 1 for document in LONG)
    assert score.perplexity == pytest.approx(math.exp(sum(nats) / len(nats)), rel=1e-5)
    assert score.bits_per_character == pytest.approx(
        sum(nats) / math.log(2) / sum(map(len, LONG)), rel=1e-5
    )
