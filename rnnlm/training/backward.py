"""The forward and backward pass of a training step; on a GPU, recorded once and then replayed.

A small model's step launches hundreds of short kernels, and launching them takes longer than they
run. A CUDA graph launches them all at once. It reads and writes the same memory each time, so the
window and the state are copied in, and the results copied out.

A pass is recorded when `SAME` windows in a row had the same shape, which is the rule with
`feed = "stream"`; windows of another shape are computed as usual. The first replay is compared with
the usual computation. If they differ, or if recording fails, a warning says so and nothing is
replayed.

Source: Nguyen et al. 2021, Accelerating PyTorch with CUDA Graphs; recording a whole pass is
described in PyTorch's notes on CUDA semantics.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from rnnlm.batching import Window
from rnnlm.config import TrainingConfig
from rnnlm.models import NeuralLanguageModel, State, detach_state
from rnnlm.training.objective import objective
from rnnlm.training.vocabulary import Sample

SAME = 3
"""Windows of the same shape in a row before a pass is recorded."""
MOST_APART = 0.02
"""Largest difference between a replayed and a computed gradient, as a share of its norm.

In bfloat16, rounding and the order of sums make them differ by less; another dropout mask makes
them differ by far more.
"""

_READ = ("inputs", "targets", "mask", "fresh")
"""The tensors of a window that a pass reads."""

Work = Callable[[], list[Tensor]]
Recorder = Callable[[Work], tuple[list[Tensor], Callable[[], object]]]
"""Records a function; returns its results, and a function that computes them again in place."""


class BackwardPass:
    """Computes a model's gradients, window by window."""

    def __init__(
        self,
        model: NeuralLanguageModel,
        config: TrainingConfig,
        precision: torch.dtype,
        record: Recorder | None,
    ) -> None:
        """Record nothing yet.

        Args:
            model: The model. Each call sets the gradients of its parameters.
            config: The training settings of the loss.
            precision: Precision of matrix products.
            record: Recorder of passes, such as `cuda_graph`; None to compute each pass as usual.
        """
        self._model, self._config, self._precision = model, config, precision
        self._record, self._shapes = record, _Shapes()
        self._recorded: _Recorded | None = None

    def run(
        self, window: Window, state: State | None, tokens: int, sample: Sample | None = None
    ) -> tuple[Tensor, State]:
        """Set the parameters' gradients to those of a window.

        Args:
            window: The lanes of this process.
            state: Recurrent state before the window, with or without a graph of its own; None, or
                a state of another number of lanes, for the initial state.
            tokens: Number of targets that the loss is divided by.
            sample: See `objective`; such a pass is not recorded.

        Returns:
            The negative log-likelihood of the window's targets in nats, a scalar; and the state
            after the window, without a graph.
        """
        lanes = len(window.fresh)
        if state is None or len(state[0]) != lanes:
            state = self._model.initial_state(lanes)
        self._model.train()
        window, state = window.to(self._model.device), detach_state(state)
        if sample is None and self._recorded is not None and self._recorded.fits(window, state):
            return self._recorded.replay(window, state, tokens)
        if sample is None and self._record is not None and self._shapes.is_due(window):
            return self._recording(self._record, window, state, tokens)
        return self._computed(window, state, tokens, sample)

    def _computed(
        self, window: Window, state: State, tokens: int | Tensor, sample: Sample | None = None
    ) -> tuple[Tensor, State]:
        self._model.zero_grad(set_to_none=True)
        state = self._model.reset_state(state, window.fresh)
        result = objective(
            self._model, window, state, self._config, tokens, self._precision, sample
        )
        result.loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        return result.nll_nats, detach_state(result.state)

    def _recording(
        self, record: Recorder, window: Window, state: State, tokens: int
    ) -> tuple[Tensor, State]:
        """Record a pass, compare a replay with the usual computation, and return the latter's."""
        self._record = None  # whether it succeeds or fails, it is not tried again
        devices = [window.inputs.device] if window.inputs.is_cuda else []
        recorded, fault = None, "its gradients differ from those computed step by step"
        try:
            with torch.random.fork_rng(devices):
                recorded = _Recorded(record, self._computed, self._model, window, state)
            with torch.random.fork_rng(devices):
                recorded.replay(window, state, tokens)
        except RuntimeError as error:
            recorded, fault = None, str(error).splitlines()[0]
        result = self._computed(window, state, tokens)
        if recorded is not None and recorded.agrees():
            self._recorded = recorded
        else:
            logging.getLogger(__name__).warning(
                "the CUDA graph of a training step cannot be used: %s; continuing without it",
                fault,
            )
        return result


class _Shapes:
    """Counts windows of the same shape in a row."""

    def __init__(self) -> None:
        self._last, self._count = torch.Size(), 0

    def is_due(self, window: Window) -> bool:
        shape = window.inputs.shape
        self._count = self._count + 1 if shape == self._last else 1
        self._last = shape
        return self._count >= SAME


class _Recorded:
    """A recorded pass, with the tensors that it reads and writes."""

    def __init__(
        self,
        record: Recorder,
        compute: Callable[[Window, State, Tensor], tuple[Tensor, State]],
        model: NeuralLanguageModel,
        window: Window,
        state: State,
    ) -> None:
        copies = {name: getattr(window, name).clone() for name in _READ}
        self._window = replace(window, **copies)
        self._state = tuple(part.clone() for part in state)
        self._tokens = torch.full((), float(window.tokens), device=window.inputs.device)
        self._parameters = [*model.parameters()]
        self._has_gradient: list[bool] = []

        def work() -> list[Tensor]:
            nll_nats, after = compute(self._window, self._state, self._tokens)
            gradients = [parameter.grad for parameter in self._parameters]
            self._has_gradient = [gradient is not None for gradient in gradients]
            return [nll_nats, *after, *(g for g in gradients if g is not None)]

        results, self._again = record(work)
        self._nll_nats = results[0]
        self._after = results[1 : 1 + len(state)]
        self._gradients = results[1 + len(state) :]

    def fits(self, window: Window, state: State) -> bool:
        """Return whether window and state have the recorded shapes."""
        ours = self._window.inputs.shape, *(part.shape for part in self._state)
        return ours == (window.inputs.shape, *(part.shape for part in state))

    def replay(self, window: Window, state: State, tokens: int) -> tuple[Tensor, State]:
        """Compute a window of the recorded shape; see `BackwardPass.run`."""
        for name in _READ:
            getattr(self._window, name).copy_(getattr(window, name))
        for ours, given in zip(self._state, state, strict=True):
            ours.copy_(given)
        self._tokens.fill_(float(tokens))
        self._again()
        for parameter, gradient in zip(self._with_gradient(), self._gradients, strict=True):
            parameter.grad = gradient
        return self._nll_nats.clone(), tuple(part.clone() for part in self._after)

    def agrees(self) -> bool:
        """Return whether the last replay's gradients are those that the parameters have now."""
        for parameter, replayed in zip(self._with_gradient(), self._gradients, strict=True):
            assert parameter.grad is not None
            apart = (parameter.grad - replayed).norm()
            if not bool(apart <= MOST_APART * parameter.grad.norm() + 1e-9):
                return False
        return True

    def _with_gradient(self) -> list[torch.nn.Parameter]:
        pairs = zip(self._parameters, self._has_gradient, strict=True)
        return [parameter for parameter, has_gradient in pairs if has_gradient]


def cuda_graph(work: Work) -> tuple[list[Tensor], Callable[[], object]]:
    """Record work on the current GPU as a CUDA graph; a `Recorder`.

    The work runs three times on another stream first, as PyTorch asks for, so that libraries
    have allocated what they need.
    """
    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            work()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        results = work()
    return results, graph.replay
