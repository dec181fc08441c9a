"""Write a model as an ONNX file, which other programs and languages can run.

The graph computes what the model computes: it maps `tokens` (batch, time) and the states
`state_0`, `state_1`, … to `logits` (batch, time, vocab) and `next_state_0`, `next_state_1`, …; the
sizes of batch and time are free. The recurrence over time is one `Scan` whose body is a time step.
The metadata of the file holds the tokenizer and the configuration, so that the file is enough to
turn text into tokens and to draw texts.

The packages `onnx` and `onnxruntime` are those of the extra `onnx`.
"""

import json
import math
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rnnlm.checkpoint import LoadedModel
from rnnlm.errors import CheckpointError, ConfigError
from rnnlm.models.layer import RecurrentLayer, StepWeights
from rnnlm.models.mingru import MinGRULayer
from rnnlm.models.mogrifier import MogrifierLayer
from rnnlm.models.stack import StackedLanguageModel
from rnnlm.storage import write_bytes
from rnnlm.tokens import BOUNDARY_ID

OPSET, IR_VERSION = 18, 9
TOLERANCE = 1e-3
"""Largest difference of a logit from torch's for which a file is written."""
MOST_BYTES = 1_900_000_000
"""An ONNX file holds at most 2 GB."""
_CHECKED_SHAPE = (2, 24)  # lanes and time steps


def write(path: Path, loaded: LoadedModel) -> float:
    """Write a model as an ONNX file, after comparing its logits with torch's; whole or not at all.

    Args:
        path: The file.
        loaded: The model; not modified.

    Returns:
        The largest absolute difference between the logits of onnxruntime and those of torch.

    Raises:
        ConfigError: The packages of the extra `onnx` are not installed.
        CheckpointError: The model is no neural model, is too large, or onnxruntime computes
            something else.
        StorageError: The file cannot be written; any previous content is intact.
    """
    try:
        import onnx
        import onnxruntime  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            f"an ONNX file needs the package {error.name}, which is not installed; run "
            "`pip install onnx onnxruntime`"
        ) from error
    model = loaded.model
    if not isinstance(model, StackedLanguageModel):
        raise CheckpointError(
            f"{loaded.experiment.model.title} cannot be written as ONNX (expected a neural model); "
            "train one with model.architecture=lstm"
        )
    size = sum(4 * parameter.numel() for parameter in model.parameters())
    if size > MOST_BYTES:
        raise CheckpointError(
            f"the weights take {size:,} bytes (expected at most {MOST_BYTES:,} in an ONNX file); "
            "export a smaller model"
        )
    made = _Builder(model).model(_metadata(loaded))
    onnx.checker.check_model(made, full_check=True)
    content = made.SerializeToString()
    difference = _largest_difference(content, model)
    if not difference <= TOLERANCE:
        raise CheckpointError(
            f"onnxruntime computes logits that differ by {difference:.2g} from torch's (expected "
            f"at most {TOLERANCE:g}); nothing was written: use --archive or --html"
        )
    write_bytes(path, content)
    return difference


def _metadata(loaded: LoadedModel) -> dict[str, str]:
    model = loaded.model
    start = [part[0].tolist() for part in model.initial_state(1)]
    is_zero = not any(np.any(part) for part in map(np.asarray, start))
    return {
        "rnnlm.experiment": loaded.experiment.model_dump_json(),
        "rnnlm.tokenizer": json.dumps(loaded.tokenizer.to_json(), ensure_ascii=False),
        "rnnlm.boundary_id": str(BOUNDARY_ID),
        "rnnlm.initial_state": "zero" if is_zero else json.dumps(start),
    }


def _largest_difference(content: bytes, model: StackedLanguageModel) -> float:
    """Return the largest difference of logits and states, over two calls that carry the state."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    generator = torch.Generator().manual_seed(0)
    state = tuple(part.float() for part in model.initial_state(_CHECKED_SHAPE[0]))
    theirs = [part.detach().numpy() for part in state]
    largest = 0.0
    for steps in (_CHECKED_SHAPE[1], 1):
        shape = (_CHECKED_SHAPE[0], steps)
        tokens = torch.randint(model.vocab_size, shape, generator=generator)
        with torch.no_grad():
            logits, state = model(tokens, state)
        given = {f"state_{number}": part for number, part in enumerate(theirs)}
        found, *theirs = session.run(None, {"tokens": tokens.numpy(), **given})
        for ours, other in zip((logits, *state), (found, *theirs), strict=True):
            largest = max(largest, float(np.abs(ours.numpy() - other).max()))
            if not np.isfinite(other).all():
                return math.inf
    return largest


class _Builder:
    """Builds the graph of a model: the weights, and a body that computes one time step."""

    def __init__(self, model: StackedLanguageModel) -> None:
        self._model = model
        self._nodes: list[Any] = []
        self._weights: dict[str, Any] = {}
        self._names = 0

    def model(self, metadata: dict[str, str]) -> Any:
        """Return the ONNX model."""
        from onnx import TensorProto, helper

        shapes = [(*part.shape[1:],) for part in self._model.initial_state(1)]
        states = [f"state_{number}" for number in range(len(shapes))]
        inside = [f"step_{name}" for name in states]
        number, whole = TensorProto.FLOAT, TensorProto.INT64

        def values(names: Sequence[str]) -> list[Any]:
            pairs = zip(names, shapes, strict=True)
            return [helper.make_tensor_value_info(n, number, ["batch", *s]) for n, s in pairs]

        after, logits = self._step("token", inside)
        vocab = self._model.vocab_size
        body = helper.make_graph(
            self._nodes,
            "step",
            [*values(inside), helper.make_tensor_value_info("token", whole, ["batch"])],
            [*values(after), helper.make_tensor_value_info(logits, number, ["batch", vocab])],
        )
        results = [f"next_{name}" for name in states]
        scan = helper.make_node(
            "Scan",
            [*states, "tokens"],
            [*results, "logits"],
            body=body,
            num_scan_inputs=1,
            scan_input_axes=[1],
            scan_output_axes=[1],
        )
        tokens = helper.make_tensor_value_info("tokens", whole, ["batch", "time"])
        shape = ["batch", "time", vocab]
        graph = helper.make_graph(
            [scan],
            "rnnlm",
            [tokens, *values(states)],
            [helper.make_tensor_value_info("logits", number, shape), *values(results)],
            [*self._weights.values()],
        )
        opset = [helper.make_opsetid("", OPSET)]
        made = helper.make_model(graph, opset_imports=opset, producer_name="rnnlm")
        made.ir_version = IR_VERSION
        helper.set_model_props(made, metadata)
        return made

    def _step(self, token: str, states: list[str]) -> tuple[list[str], str]:
        """Add one time step; return the names of the states after it and of the logits.

        Args:
            token: Name of the token ids, shape (batch,).
            states: Names of the states before the step.
        """
        embedding = self._weight(self._model.embedding.weight)
        features, parts, after = self._add("Gather", embedding, token), iter(states), list[str]()
        for layer in self._model.layers:
            own = [*islice(parts, len(layer.state_shapes))]
            features, own = self._layer(layer, features, own)
            after += own
        norm = getattr(self._model, "norm", None)
        if isinstance(norm, nn.LayerNorm):
            features = self._norm(norm, features)
        weight, bias = self._model.output_layer
        logits = self._linear(features, weight, bias)
        return [self._add("Identity", name) for name in after], logits

    def _layer(self, layer: RecurrentLayer, inputs: str, state: list[str]) -> tuple[str, list[str]]:
        """Add a layer; return the names of its output and of its state after the step."""
        if isinstance(layer, MinGRULayer):
            return self._mingru(layer, inputs, state)
        if isinstance(layer, MogrifierLayer):
            mogrified, modulated = inputs, state[0]
            for number, matrix in enumerate(layer.rounds):
                if number % 2:
                    modulated = self._gated(modulated, self._linear(mogrified, matrix))
                else:
                    mogrified = self._gated(mogrified, self._linear(modulated, matrix))
            weights = StepWeights("lstm", layer.W, layer.U, layer.b)
            return self._lstm(self._sums(weights, mogrified, modulated), state[1])
        weights_or_none = layer.step_weights
        if weights_or_none is None:
            raise CheckpointError(
                f"a layer of the kind {type(layer).__name__} cannot be written as ONNX (expected "
                "simple, gru, lstm, mogrifier or mingru)"
            )
        sums = self._sums(weights_or_none, inputs, state[0])
        if weights_or_none.kind == "lstm":
            return self._lstm(sums, state[1])
        if weights_or_none.kind == "gru":
            r, z, n_x, n_h = self._split(sums, 4)
            candidate = self._add("Tanh", self._sum(n_x, self._product(self._sigmoid(r), n_h)))
            kept = self._product(self._sigmoid(z), self._add("Sub", state[0], candidate))
            hidden = self._sum(candidate, kept)
        else:
            hidden = self._add({"sigmoid": "Sigmoid", "tanh": "Tanh"}[weights_or_none.kind], sums)
        return hidden, [hidden]

    def _lstm(self, sums: str, cell: str) -> tuple[str, list[str]]:
        i, f, g, o = self._split(sums, 4)
        new = self._product(self._sigmoid(i), self._add("Tanh", g))
        cell = self._sum(self._product(self._sigmoid(f), cell), new)
        hidden = self._product(self._sigmoid(o), self._add("Tanh", cell))
        return hidden, [hidden, cell]

    def _mingru(self, layer: MinGRULayer, inputs: str, state: list[str]) -> tuple[str, list[str]]:
        projected = inputs if layer.W_x is None else self._linear(inputs, layer.W_x)
        seen, window = self._norm(layer.norm, projected), list[str]()
        if layer.C is not None:
            row = self._add("Unsqueeze", seen, self._constant([1]))
            padded = self._add("Concat", state[1], row, axis=1)  # (batch, convolution, size)
            taps = self._weight(layer.C.flip(0))  # the last row is the present input
            seen = self._add(
                "ReduceSum", self._product(padded, taps), self._constant([1]), keepdims=0
            )
            bounds = (self._constant([n]) for n in (1, len(layer.C), 1))
            window = [self._add("Slice", padded, *bounds)]
        gate, candidate, way_out = self._split(self._linear(seen, layer.W, layer.b), 3)
        open_share = self._sigmoid(gate)
        kept = self._product(self._sigmoid(self._add("Neg", gate)), state[0])
        hidden = self._sum(kept, self._product(open_share, candidate))
        silu = self._product(way_out, self._sigmoid(way_out))
        let_out = self._linear(self._product(hidden, silu), layer.W_o)
        outputs = self._sum(projected, let_out)
        if layer.feed_forward is not None:
            branch: Any = layer.feed_forward
            inner = self._linear(self._norm(branch.norm, outputs), branch.W_u, branch.b_u)
            outputs = self._sum(outputs, self._linear(self._gelu(inner), branch.W_d))
        return outputs, [hidden, *window]

    def _sums(self, weights: StepWeights, inputs: str, hidden: str) -> str:
        """Add `inputs @ x + own @ h + bias`."""
        own = self._linear(hidden, weights.own)
        return self._sum(self._linear(inputs, weights.inputs, weights.bias), own)

    def _gated(self, value: str, gate: str) -> str:
        two = self._constant(2.0)
        return self._product(self._product(two, self._sigmoid(gate)), value)

    def _gelu(self, value: str) -> str:
        """Add x · (1 + erf(x / √2)) / 2, which is torch's GELU."""
        scaled = self._product(value, self._constant(math.sqrt(0.5)))
        one = self._sum(self._add("Erf", scaled), self._constant(1.0))
        return self._product(self._product(value, self._constant(0.5)), one)

    def _norm(self, norm: nn.LayerNorm, value: str) -> str:
        weights = self._weight(norm.weight), self._weight(norm.bias)
        return self._add("LayerNormalization", value, *weights, axis=-1, epsilon=norm.eps)

    def _linear(self, value: str, weight: Tensor, bias: Tensor | None = None) -> str:
        names = [self._weight(tensor) for tensor in (weight, bias) if tensor is not None]
        return self._add("Gemm", value, *names, transB=1)

    def _split(self, value: str, parts: int) -> list[str]:
        from onnx import helper

        names = [self._name() for _ in range(parts)]
        self._nodes.append(helper.make_node("Split", [value], names, axis=-1, num_outputs=parts))
        return names

    def _sigmoid(self, value: str) -> str:
        return self._add("Sigmoid", value)

    def _sum(self, left: str, right: str) -> str:
        return self._add("Add", left, right)

    def _product(self, left: str, right: str) -> str:
        return self._add("Mul", left, right)

    def _add(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Add a node; return the name of its output."""
        from onnx import helper

        name = self._name()
        self._nodes.append(helper.make_node(kind, [*inputs], [name], **attributes))
        return name

    def _constant(self, value: float | list[int]) -> str:
        kind = np.int64 if isinstance(value, list) else np.float32
        return self._store(np.asarray(value, kind))

    def _weight(self, tensor: Tensor) -> str:
        return self._store(tensor.detach().cpu().float().numpy())

    def _store(self, array: NDArray[Any]) -> str:
        """Add numbers to the file, each array once; return their name."""
        from onnx import numpy_helper

        key = f"{array.dtype}{array.shape}{hash(array.tobytes())}"
        if key not in self._weights:
            name = f"weight_{len(self._weights)}"
            self._weights[key] = numpy_helper.from_array(np.ascontiguousarray(array), name)
        return str(self._weights[key].name)

    def _name(self) -> str:
        self._names += 1
        return f"value_{self._names}"
