"""The neural language models once more, as plain PyTorch modules and loops.

They take the weights of a model of the library, and the masks of its dropout, and nothing else.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from rnnlm.config import ModelConfig

Weights = dict[str, Tensor]


@dataclass
class Masks:
    """What dropout kept in one forward pass, in the order in which it was applied.

    Attributes:
        rows: True for each token whose embedding was kept, shape (vocab, 1).
        weights: True for each recurrent weight that was kept, one matrix per layer.
        features: True for each feature that was kept, shape (time or 1, batch, size), by the name
            of the dropout.
    """

    rows: Tensor | None = None
    weights: list[Tensor] = field(default_factory=list)
    features: dict[str, list[Tensor]] = field(default_factory=lambda: defaultdict(list))


@dataclass
class Outputs:
    """What a model computes for padded documents.

    Attributes:
        features: Outputs of the last layer, shape (batch, time, size).
        dropped: The same after dropout.
        logits: Logits, shape (batch, time, vocab).
    """

    features: Tensor
    dropped: Tensor
    logits: Tensor


class PlainModel:
    """A language model in plain PyTorch; its gradients are those of autograd."""

    def __init__(self, config: ModelConfig, weights: Weights, masks: Masks) -> None:
        self.config, self.weights = config, weights
        self._rows, self._matrices = masks.rows, iter(masks.weights)
        self._kept: dict[str, Iterator[Tensor]] = {k: iter(v) for k, v in masks.features.items()}

    def __call__(self, inputs: Tensor) -> Outputs:
        """Run the model over `inputs` of shape (batch, time), from the initial state."""
        config, weights = self.config, self.weights
        table = weights["embedding.weight"]
        if self._rows is not None:
            table = table * self._rows / (1.0 - config.embedding_dropout)
        shares = [config.input_dropout, config.layer_dropout, config.output_dropout]
        before, between, after = (config.dropout if share is None else share for share in shares)
        features = functional.embedding(inputs, table).transpose(0, 1)
        starts = iter(sorted(name for name in weights if name.startswith("start.")))
        for number in range(config.num_layers):
            own = {
                name.removeprefix(f"layers.{number}."): weight
                for name, weight in weights.items()
                if name.startswith(f"layers.{number}.")
            }
            if config.architecture == "mingru":
                features = self._drop(features, "drop_inputs", before if number == 0 else 0.0)
                features = self._mingru(own, features, between, f"layers.{number}.drop")
                continue
            name, share = ("drop_between", between) if number else ("drop_inputs", before)
            features = self._drop(features, name, share)
            state = [
                weights[next(starts)].expand(features.shape[1], -1)
                if config.learned_start
                else features.new_zeros(features.shape[1], config.layer_sizes[number])
                for _ in range(2 if config.architecture in ("lstm", "mogrifier") else 1)
            ]
            features = LAYERS[config.architecture](config, self._thinned(own), features, state)
        if config.architecture == "mingru":
            size = features.shape[-1:]
            features = functional.layer_norm(
                features, size, weights["norm.weight"], weights["norm.bias"]
            )
        dropped = self._drop(features, "drop_outputs", after)
        matrix = table_of_outputs(config, weights)
        logits = functional.linear(dropped, matrix, weights["b_2"])
        return Outputs(*(part.transpose(0, 1) for part in (features, dropped, logits)))

    def _drop(self, features: Tensor, name: str, share: float) -> Tensor:
        if name not in self._kept or not share:
            return features
        return features * next(self._kept[name]) / (1.0 - share)

    def _thinned(self, own: Weights) -> Weights:
        """Return a layer's weights with the mask of its recurrent matrix applied (DropConnect)."""
        name = "W_h" if "W_h" in own else "U"
        mask = next(self._matrices, None)
        if mask is None:
            return own
        return own | {name: own[name] * mask / (1.0 - self.config.weight_dropout)}

    def _mingru(self, own: Weights, inputs: Tensor, share: float, name: str) -> Tensor:
        """Run a minGRU layer step by step; its convolution is torch's."""
        x = inputs @ own["W_x"].T if "W_x" in own else inputs
        size = x.shape[-1]
        u = functional.layer_norm(x, (size,), own["norm.weight"], own["norm.bias"])
        if "C" in own:
            reach = len(own["C"]) - 1
            padded = functional.pad(u.permute(1, 2, 0), (reach, 0))
            kernel = own["C"].flip(0).T[:, None]
            u = functional.conv1d(padded, kernel, groups=size).permute(2, 0, 1)
        hidden, states = torch.zeros_like(x[0]), []
        W_z, W_h, W_g = own["W"].split(size)  # noqa: N806
        b_z, b_h, b_g = own["b"].split(size)
        for step in u:
            z = torch.sigmoid(step @ W_z.T + b_z)
            hidden = (1.0 - z) * hidden + z * (step @ W_h.T + b_h)
            states.append(hidden)
        gate = u @ W_g.T + b_g
        branch = (torch.stack(states) * gate * torch.sigmoid(gate)) @ own["W_o"].T
        y = x + self._drop(branch, name, share)
        if "feed_forward.W_u" not in own:
            return y
        scale, shift = own["feed_forward.norm.weight"], own["feed_forward.norm.bias"]
        inner = functional.layer_norm(y, (size,), scale, shift) @ own["feed_forward.W_u"].T
        inner = functional.gelu(inner + own["feed_forward.b_u"])
        return y + self._drop(inner @ own["feed_forward.W_d"].T, name, share)


def table_of_outputs(config: ModelConfig, weights: Weights) -> Tensor:
    """Return the matrix of the output layer."""
    return weights["embedding.weight"] if config.tie_weights else weights["U"]


def _torch_layer(layer: nn.RNNBase, own: list[Tensor], inputs: Tensor, state: list[Tensor]):
    """Run one of torch's layers with given matrices for input and state, and their biases."""
    names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
    given = tuple(part[None].contiguous() for part in state)
    named = dict(zip(names, own, strict=True))
    start = given if len(given) > 1 else given[0]
    return functional_call(layer.to(inputs.dtype), named, (inputs, start))[0]


def _lstm(_: ModelConfig, own: Weights, inputs: Tensor, state: list[Tensor]) -> Tensor:
    layer = nn.LSTM(inputs.shape[-1], own["U"].shape[1])
    matrices = [own["W"], own["U"], own["b"], torch.zeros_like(own["b"])]
    return _torch_layer(layer, matrices, inputs, state)


def _gru(_: ModelConfig, own: Weights, inputs: Tensor, state: list[Tensor]) -> Tensor:
    size = own["U"].shape[1]
    beside = torch.cat([own["d"].new_zeros(2 * size), own["d"]])
    matrices = [own["W"], own["U"], own["b"], beside]
    return _torch_layer(nn.GRU(inputs.shape[-1], size), matrices, inputs, state)


def _simple(config: ModelConfig, own: Weights, inputs: Tensor, state: list[Tensor]) -> Tensor:
    if config.nonlinearity == "tanh":
        layer = nn.RNN(inputs.shape[-1], own["W_h"].shape[1], nonlinearity="tanh")
        matrices = [own["W_e"], own["W_h"], own["b_1"], torch.zeros_like(own["b_1"])]
        return _torch_layer(layer, matrices, inputs, state)
    (hidden,), outputs = state, []
    for step in inputs:
        hidden = torch.sigmoid(own["W_h"] @ hidden.T + own["W_e"] @ step.T + own["b_1"][:, None]).T
        outputs.append(hidden)
    return torch.stack(outputs)


def _mogrifier(config: ModelConfig, own: Weights, inputs: Tensor, state: list[Tensor]) -> Tensor:
    """Run torch's LSTM cell on inputs and states that gate each other; Melis et al. 2020."""
    cell = nn.LSTMCell(inputs.shape[-1], own["U"].shape[1]).to(inputs.dtype)
    named = {
        "weight_ih": own["W"],
        "weight_hh": own["U"],
        "bias_ih": own["b"],
        "bias_hh": torch.zeros_like(own["b"]),
    }
    h, c = state
    outputs = []
    for x in inputs:
        for i in range(1, config.mogrifier_rounds + 1):
            gate = own[f"rounds.{i - 1}"]
            if i % 2 == 1:
                x = 2.0 * torch.sigmoid(h @ gate.T) * x  # noqa: PLW2901
            else:
                h = 2.0 * torch.sigmoid(x @ gate.T) * h
        h, c = functional_call(cell, named, (x, (h, c)))
        outputs.append(h)
    return torch.stack(outputs)


Layer = Callable[[ModelConfig, Weights, Tensor, list[Tensor]], Tensor]
LAYERS: dict[str, Layer] = {"lstm": _lstm, "gru": _gru, "simple": _simple, "mogrifier": _mogrifier}
