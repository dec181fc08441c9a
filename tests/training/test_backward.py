"""Recorded passes compute what passes computed step by step do.

A CUDA graph needs a GPU. On a CPU, `Rerun` behaves like one: it writes its results into the same
tensors each time. So what is tested everywhere is all but the graph itself.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
import torch
from torch import Tensor

from rnnlm.batching import Window
from rnnlm.config import ModelConfig, TrainingConfig
from rnnlm.models import NeuralLanguageModel, State, build
from rnnlm.models.dropping import seed_dropout
from rnnlm.training.backward import SAME, BackwardPass, Recorder, Work, cuda_graph

CPU = torch.device("cpu")
VOCABULARY = 11
ARCHITECTURES = ["simple", "gru", "lstm", "mogrifier", "mingru"]


@dataclass
class Rerun:
    """A recorder that computes its results again, in place, as a CUDA graph does."""

    recorded: int = 0
    replayed: int = 0
    error: float = 0.0
    results: list[Tensor] = field(default_factory=list)

    def __call__(self, work: Work) -> tuple[list[Tensor], Callable[[], object]]:
        self.recorded += 1
        self.results = [result.clone() for result in work()]

        def again() -> None:
            self.replayed += 1
            for kept, new in zip(self.results, work(), strict=True):
                kept.copy_(new + self.error)

        return self.results, again


def model_of(architecture: str, device: torch.device = CPU) -> NeuralLanguageModel:
    torch.manual_seed(3)
    config = ModelConfig(
        architecture=architecture,
        embedding_size=16,
        hidden_size=16,
        num_layers=2,
        dropout=0.2,
        embedding_dropout=0.1,
        weight_dropout=0.0 if architecture == "mingru" else 0.2,
        learned_start=True,
    )
    model = build(config, VOCABULARY)
    assert isinstance(model, NeuralLanguageModel)
    return model.to(device)


def window_of(number: int, lanes: int = 4, time: int = 6) -> Window:
    """A window of random tokens, with one padded lane and one that begins a document."""
    generator = torch.Generator().manual_seed(number)
    tokens = torch.randint(VOCABULARY, (lanes, time + 1), generator=generator)
    mask = torch.ones(lanes, time, dtype=torch.bool)
    mask[0, 1 + number % time :] = False
    fresh = torch.zeros(lanes, dtype=torch.bool)
    fresh[number % lanes] = True
    return Window(
        inputs=tokens[:, :-1].int(),
        targets=tokens[:, 1:].int(),
        mask=mask,
        fresh=fresh,
        documents=torch.zeros(lanes, dtype=torch.int64),
        tokens=int(mask.sum()),
    )


def steps(
    model: NeuralLanguageModel, record: Recorder | None, windows: list[Window]
) -> list[list[Tensor]]:
    """Return the loss, the state and the gradients of some steps, each with an update."""
    config = TrainingConfig(activation_penalty=1.0, temporal_penalty=0.5)
    run = BackwardPass(model, config, torch.float32, record)
    state: State | None = None
    found = []
    for number, window in enumerate(windows):
        seed_dropout((7, number), model.device)
        nll_nats, state = run.run(window, state, window.tokens)
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        found.append([part.detach().clone().cpu() for part in (nll_nats, *state, *gradients)])
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.grad is not None:
                    parameter.sub_(parameter.grad, alpha=0.1)
    return found


def compare(ours: list[list[Tensor]], theirs: list[list[Tensor]], tolerance: float) -> None:
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_replayed_steps_equal_computed_ones(architecture: str):
    windows = [window_of(number) for number in range(SAME + 5)]
    record = Rerun()
    ours = steps(model_of(architecture), record, windows)
    compare(ours, steps(model_of(architecture), None, windows), 0.0)
    assert (record.recorded, record.replayed) == (1, 1 + 5)  # the first replay is only compared


def test_a_window_of_another_shape_is_computed():
    shapes = [(4, 6)] * (SAME + 2) + [(4, 5), (3, 6), (4, 6), (4, 6)]
    windows = [window_of(number, *shape) for number, shape in enumerate(shapes)]
    record = Rerun()
    ours = steps(model_of("lstm"), record, windows)
    compare(ours, steps(model_of("lstm"), None, windows), 0.0)
    assert (record.recorded, record.replayed) == (1, 1 + 2 + 2)


def test_documents_of_many_lengths_are_not_recorded():
    record = Rerun()
    steps(model_of("lstm"), record, [window_of(n, time=3 + n % 2) for n in range(3 * SAME)])
    assert not record.recorded


def test_wrong_replays_are_not_used(caplog: pytest.LogCaptureFixture):
    windows = [window_of(number) for number in range(SAME + 4)]
    record = Rerun(error=0.1)
    with caplog.at_level(logging.WARNING):
        ours = steps(model_of("lstm"), record, windows)
    compare(ours, steps(model_of("lstm"), None, windows), 0.0)
    assert (record.recorded, record.replayed) == (1, 1)
    assert "gradients differ" in caplog.text
    assert len(caplog.records) == 1


def test_training_goes_on_if_nothing_can_be_recorded(caplog: pytest.LogCaptureFixture):
    def record(work: Work) -> tuple[list[Tensor], Callable[[], object]]:
        work()
        raise RuntimeError("operation not permitted when stream is capturing\nmore lines")

    windows = [window_of(number) for number in range(SAME + 4)]
    with caplog.at_level(logging.WARNING):
        ours = steps(model_of("lstm"), record, windows)
    compare(ours, steps(model_of("lstm"), None, windows), 0.0)
    assert "not permitted when stream is capturing; continuing without it" in caplog.text
    assert len(caplog.records) == 1


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU on this machine")
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_cuda_graph_computes_the_same(architecture: str, caplog: pytest.LogCaptureFixture):
    cuda = torch.device("cuda")
    windows = [window_of(number) for number in range(SAME + 8)]
    with caplog.at_level(logging.WARNING):
        ours = steps(model_of(architecture, cuda), cuda_graph, windows)
    compare(ours, steps(model_of(architecture, cuda), None, windows), 1e-3)
    assert not caplog.records
