"""Score a text with a model that adapts to it while reading.

There are two methods: dynamic evaluation trains the weights on the text read so far, and the neural
cache remembers which tokens followed in similar situations. Both predict every token before they
see it. The model is reset at the end of each document, so that a document's score does not depend
on other documents.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from rnnlm.batching import Window, windows
from rnnlm.errors import ConfigError
from rnnlm.evaluation.results import Evaluation
from rnnlm.evaluation.scoring import Pieces, nats_per_target
from rnnlm.models import LanguageModel, NeuralLanguageModel, detach_state
from rnnlm.progress import OnProgress, silent

if TYPE_CHECKING:
    from jaxtyping import Bool

    from rnnlm.tokens import TokenArrays

SEGMENT_TOKENS = 32
"""Number of tokens between two updates of the weights in dynamic evaluation."""
STATISTICS_TOKENS = 50_000
"""Number of training tokens from which the size of each weight's gradient is estimated."""
SMALLEST_GRADIENT = 2e-5
"""ε, which is added to the root mean square of a weight's gradient. Without it, weights whose
gradient is zero on this training text (those of rare tokens) would take huge steps."""


class Dynamic(NamedTuple):
    """Settings of dynamic evaluation; see `evaluate_dynamically` for the equation.

    Attributes:
        rate: η, the step size; it multiplies gradients that were divided by their root mean square
            on training text.
        decay: λ, how strongly the weights are pulled back to the trained weights.
    """

    rate: float = 3e-4
    decay: float = 2e-3


class Cache(NamedTuple):
    """Settings of the neural cache.

    Attributes:
        size: Number of past time steps that are remembered.
        flatness: θ, the factor by which similarities are multiplied.
        weight: λ, the share of the probability that comes from the cache.
    """

    size: int = 2000
    flatness: float = 0.3
    weight: float = 0.1


DYNAMIC, CACHE = Dynamic(), Cache()


def evaluate_dynamically(
    model: LanguageModel,
    arrays: TokenArrays,
    train: TokenArrays,
    dynamic: Dynamic = DYNAMIC,
    unknown_id: int | None = None,
    on_progress: OnProgress = silent,
) -> Evaluation:
    """Score a text with a model that takes a step of gradient descent after every segment.

    A segment has `SEGMENT_TOKENS` tokens. After it has been scored, the weights θ are updated:

        θ ← θ − η g / (s + ε) + λ (θ₀ − θ) ⊙ min(s / mean(s), 1/λ)

    Here g is the gradient of the segment's loss, θ₀ the trained weights, s the root mean square of
    the gradients on training text, and ε a small constant, `SMALLEST_GRADIENT`.

    Args:
        model: The model; it is restored afterwards, including its weights.
        arrays: The documents to score, one after the other.
        train: Training text, from which s is estimated.
        dynamic: η and λ.
        unknown_id: Id of the token that is counted as unknown; None to count none.
        on_progress: Called with the number of tokens scored.

    Raises:
        ConfigError: The model is not trained by gradient descent.
        EmptySplitError: There is nothing to score.

    Source: Krause et al. 2018, "Dynamic evaluation of neural sequence models", equations 3 to 6.
    """
    neural = _neural(model, "dynamic evaluation")
    pieces = Pieces(arrays, unknown_id)
    was_training = neural.training
    neural.eval()
    parameters = [*neural.parameters()]
    trained = [p.detach().clone() for p in parameters]
    sizes = _gradient_sizes(neural, train)
    mean = sum(float(s.sum()) for s in sizes) / max(1, sum(s.numel() for s in sizes))
    pull = [(dynamic.decay * s / max(mean, SMALLEST_GRADIENT)).clamp(max=1.0) for s in sizes]
    state = None

    def nats_of(batch: Window) -> Tensor:
        nonlocal state
        window = batch.to(neural.device)
        if bool(batch.fresh.any()):
            _write(parameters, trained)
            state = None
        before = neural.initial_state(1) if state is None else detach_state(state)
        logits, state = neural(window.inputs, before)
        nats = nats_per_target(logits, window)
        loss = (nats * window.mask).sum() / batch.tokens
        gradients = torch.autograd.grad(loss, parameters, materialize_grads=True)
        with torch.no_grad():
            rows = zip(parameters, gradients, sizes, pull, trained, strict=True)
            for weight, gradient, size, drawn, start in rows:
                weight.sub_(dynamic.rate * gradient / (size + SMALLEST_GRADIENT))
                weight.add_(drawn * (start - weight))
        return nats.detach()

    try:
        return pieces.of_windows(nats_of, 1, SEGMENT_TOKENS, on_progress)
    finally:
        _write(parameters, trained)
        neural.train(was_training)


def evaluate_with_cache(
    model: LanguageModel,
    arrays: TokenArrays,
    cache: Cache = CACHE,
    unknown_id: int | None = None,
    on_progress: OnProgress = silent,
) -> Evaluation:
    """Score a text with a model that also expects the tokens that followed similar states before.

    The probability of token w at step t is

        p(w) = (1 − λ) ŷ⁽ᵗ⁾(w) + λ p_cache(w)
        p_cache(w) ∝ Σ_{i<t} 1[x⁽ⁱ⁺¹⁾ = w] exp(θ h⁽ᵗ⁾·h⁽ⁱ⁾)

    Here ŷ⁽ᵗ⁾ is the model's own prediction, h⁽ⁱ⁾ the last layer's output at step i, and x⁽ⁱ⁺¹⁾ the
    token that followed it. The sum is over the last `cache.size` steps.

    Args:
        model: The model; set to eval mode while scoring, then restored.
        arrays: The documents to score, one after the other.
        cache: Size, θ and λ.
        unknown_id: Id of the token that is counted as unknown; None to count none.
        on_progress: Called with the number of tokens scored.

    Raises:
        ConfigError: The model is not trained by gradient descent.
        EmptySplitError: There is nothing to score.

    Source: Grave, Joulin and Usunier 2017, equations 2 to 4.
    """
    neural = _neural(model, "the neural cache")
    pieces = Pieces(arrays, unknown_id)
    was_training = neural.training
    neural.eval()
    state = None
    keys = torch.zeros(0, 0)
    values = torch.zeros(0, dtype=torch.int64)

    def nats_of(batch: Window) -> Tensor:
        nonlocal state, keys, values
        window = batch.to(neural.device)
        if state is None or bool(batch.fresh.any()):
            state = neural.initial_state(1)
            keys, values = keys[:0], values[:0]
        features, state = neural.features(window.inputs, state)
        nats = nats_per_target(neural.logits(neural.drop(features)), window)[0]
        targets, now = window.targets[0], features[0].float()
        keys = torch.cat([keys.view(-1, now.shape[1]).to(now), now])
        values = torch.cat([values.to(targets), targets])
        remembered = _remembered(len(now), len(keys), cache.size, now.device)
        likeness = (cache.flatness * now @ keys.T).masked_fill(~remembered, -torch.inf)
        weights = torch.softmax(likeness, dim=1).nan_to_num()  # NaN if the cache is empty
        cached = (weights * (values[None] == targets[:, None])).sum(dim=1)
        share = cache.weight * remembered.any(dim=1)
        keys, values = keys[-cache.size :], values[-cache.size :]
        own = torch.log1p(-share) - nats
        return -torch.logaddexp(own, torch.log(share * cached))[None]

    with torch.inference_mode():
        result = pieces.of_windows(nats_of, 1, SEGMENT_TOKENS, on_progress)
    neural.train(was_training)
    return result


def _remembered(steps: int, keys: int, size: int, device: torch.device) -> Bool[Tensor, "step key"]:
    """Return which keys each of the last `steps` steps may use.

    A key is the output of a step. A step may use the keys of the `size` steps before it.
    """
    step = torch.arange(keys - steps, keys, device=device)[:, None]
    key = torch.arange(keys, device=device)[None]
    return (key < step) & (key >= step - size)


def _gradient_sizes(model: NeuralLanguageModel, train: TokenArrays) -> list[Tensor]:
    """Return the root mean square of each weight's gradient over segments of training text."""
    parameters = [*model.parameters()]
    squares = [torch.zeros_like(p) for p in parameters]
    text = train.first(STATISTICS_TOKENS)
    state, count = None, 0
    for batch in windows(text, "stream", 1, SEGMENT_TOKENS):
        window = batch.to(model.device)
        fresh = state is None or bool(batch.fresh.any())
        before = model.initial_state(1) if fresh or state is None else detach_state(state)
        logits, state = model(window.inputs, before)
        loss = (nats_per_target(logits, window) * window.mask).sum() / batch.tokens
        gradients = torch.autograd.grad(loss, parameters, materialize_grads=True)
        for square, gradient in zip(squares, gradients, strict=True):
            square.add_(gradient.square())
        count += 1
    return [(square / max(1, count)).sqrt() for square in squares]


def _write(parameters: list[torch.nn.Parameter], values: list[Tensor]) -> None:
    with torch.no_grad():
        for parameter, value in zip(parameters, values, strict=True):
            parameter.copy_(value)


def _neural(model: LanguageModel, what: str) -> NeuralLanguageModel:
    if not isinstance(model, NeuralLanguageModel):
        raise ConfigError(
            f"{what} needs a model that is trained by gradient descent (found "
            f"{model.config.architecture}); leave the option out"
        )
    return model
