"""A model as it is sampled from, kept in a file that is read without torch.

Packing a model (see `rnnlm.engine.packing`) needs torch, which takes longer to import than most
texts take to sample. So the packed network is kept, with the model's header, in a file named after
the digest of the checkpoint. Such a file can be deleted at any time: it is made again when it is
missing, damaged or of another format.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from rnnlm import header
from rnnlm.config import Experiment, GenerationConfig
from rnnlm.constraints import Rules
from rnnlm.engine.opening import Precision, Slots, open_native
from rnnlm.errors import CheckpointError
from rnnlm.header import Described
from rnnlm.kernels.slots import Network, NetworkLayer, NumpyNetwork
from rnnlm.storage import atomic_path
from rnnlm.tokenizer import Tokenizer

FORMAT = "rnnlm-packed-1"
_ARRAYS = ("matrix", "scale", "added", "start", "memory")
_OUTPUT = ("matrix", "scale", "added")


@dataclass(frozen=True)
class PackedModel:
    """A packed network with the description of its model.

    Attributes:
        network: The network; the unknown token is never drawn.
        precision: Precision of the weights.
        described: The model's header.
    """

    network: NumpyNetwork
    precision: Precision
    described: Described

    @property
    def experiment(self) -> Experiment:
        """The configuration that the model was trained with."""
        return self.described.experiment

    @property
    def tokenizer(self) -> Tokenizer:
        """The model's tokenizer."""
        return self.described.tokenizer

    def open_slots(self, config: GenerationConfig, rules: Rules, *, costs: bool = False) -> Slots:
        """Return slots of native code; see `rnnlm.engine.running.open_slots`."""
        return open_native(self.network, self.tokenizer, config, rules, costs=costs)


def packed_path(folder: Path, digest: str) -> Path:
    """Return the path of the packed form of the checkpoint with a digest."""
    return folder / f"{digest}.safetensors"


def save(path: Path, model: PackedModel) -> None:
    """Write a packed model, whole or not at all.

    Raises:
        StorageError: The file cannot be written.
    """
    network = model.network
    arrays = {f"output.{name}": getattr(network, name) for name in _OUTPUT}
    for number, layer in enumerate(network.layers):
        arrays |= {f"layer.{number}.{name}": getattr(layer, name) for name in _ARRAYS}
    layers = [{"kind": one.kind, "units": one.units, "own": one.own} for one in network.layers]
    values = header.values_of(model.described, FORMAT) | {
        "precision": model.precision,
        "network": {"vocab_size": network.vocab_size, "layers": layers},
    }
    with atomic_path(path) as temporary:
        try:
            save_file(arrays, temporary, metadata=header.as_metadata(values))
        except SafetensorError as error:  # how safetensors reports a full disk
            raise OSError(str(error)) from error


def load(path: Path) -> PackedModel | None:
    """Read a packed model; return None if there is none at `path` that this version can use."""
    try:
        with safe_open(path, framework="np") as file:
            values = header.from_metadata(file.metadata())
            if values.get("format") != FORMAT:
                return None
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        described = header.read(path, values)
        return PackedModel(_network(values["network"], arrays), values["precision"], described)
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, CheckpointError):
        return None


def _network(values: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> NumpyNetwork:
    layers = tuple(
        NetworkLayer(
            str(one["kind"]),
            int(one["units"]),
            int(one["own"]),
            *(arrays[f"layer.{number}.{name}"] for name in _ARRAYS),
        )
        for number, one in enumerate(values["layers"])
    )
    output = (arrays[f"output.{name}"] for name in _OUTPUT)
    return Network(int(values["vocab_size"]), layers, *output)
