"""Keep models in the form that native code samples from, in files that are read without torch.

Packing a model (see `rnnlm.engine.packing`) needs torch, and importing torch takes longer than
sampling most texts. So the packed network is kept, with the model's header, in a file named after
the digest of the checkpoint. Such a file can be deleted at any time: it is made again when it is
missing, damaged or of another format.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as save_tensors

from rnnlm import header as headers
from rnnlm.config import Experiment, GenerationConfig
from rnnlm.constraints import Rules
from rnnlm.engine.opening import Engine, Precision, Slots, open_native
from rnnlm.errors import CheckpointError
from rnnlm.header import Described, Header
from rnnlm.kernels.slots import Network, NetworkLayer, NumpyNetwork
from rnnlm.storage import write_bytes
from rnnlm.tokenizer import Tokenizer

FORMAT = "rnnlm-packed-1"
_ARRAYS = ("matrix", "scale", "added", "start", "memory")
_OUTPUT = ("matrix", "scale", "added")


class _LayerSizes(BaseModel):
    """What a header says about a layer; see `NetworkLayer`."""

    model_config = ConfigDict(extra="forbid")

    kind: str
    units: int
    own: int


class _PackedHeader(Header):
    """The header of a packed model."""

    precision: Precision
    vocab_size: int
    layers: tuple[_LayerSizes, ...]


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

    @property
    def engine(self) -> Engine:
        """Native code."""
        return Engine("native", self.precision)

    @property
    def device(self) -> str:
        """Kind of device that computes the texts."""
        return "cpu"

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
    layers = tuple(_LayerSizes(kind=o.kind, units=o.units, own=o.own) for o in network.layers)
    header = _PackedHeader(
        **headers.of_model(model.described, FORMAT).model_dump(),
        precision=model.precision,
        vocab_size=network.vocab_size,
        layers=layers,
    )
    metadata = headers.to_metadata(header, headers.digest_of(arrays, headers.bytes_of))
    write_bytes(path, save_tensors(arrays, metadata))


def load(path: Path) -> PackedModel | None:
    """Read a packed model; return None if `path` has none that this version can use.

    This includes files that are damaged, of another format, or do not match their digests.
    """
    try:
        with safe_open(path, framework="np") as file:
            header = headers.from_metadata(path, file.metadata(), FORMAT, _PackedHeader)
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if header.sha256_of_tensors != headers.digest_of(arrays, headers.bytes_of):
            return None
        return PackedModel(
            _network(header, arrays), header.precision, headers.describe(path, header)
        )
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, CheckpointError):
        return None


def _network(header: _PackedHeader, arrays: dict[str, NDArray[Any]]) -> NumpyNetwork:
    layers = tuple(
        NetworkLayer(
            sizes.kind,
            sizes.units,
            sizes.own,
            *(arrays[f"layer.{number}.{name}"] for name in _ARRAYS),
        )
        for number, sizes in enumerate(header.layers)
    )
    output = (arrays[f"output.{name}"] for name in _OUTPUT)
    return Network(header.vocab_size, layers, *output)
