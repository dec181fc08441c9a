"""Load a checkpoint to draw texts from it, with torch only where it cannot be avoided."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rnnlm.config import Experiment, GenerationConfig
from rnnlm.constraints import Rules
from rnnlm.engine import packed
from rnnlm.engine.opening import Engine, Precision, Sampler, Slots
from rnnlm.errors import CheckpointError, StorageError
from rnnlm.header import Described, damaged
from rnnlm.kernels.native import native_available
from rnnlm.storage import file_digest
from rnnlm.tokenizer import Tokenizer

if TYPE_CHECKING:
    from rnnlm.checkpoint import LoadedModel

AUTO = "auto"
FILES = ("model.safetensors", "best.safetensors")
"""Names of the checkpoint in a folder that training wrote; the first one that exists is used."""


@dataclass(frozen=True)
class UnpackedModel:
    """A model that torch computes, since it cannot be packed or there is no native code here.

    Attributes:
        loaded: The model.
        engine: The engine that computes it.
    """

    loaded: LoadedModel
    engine: Engine

    @property
    def experiment(self) -> Experiment:
        """The configuration that the model was trained with."""
        return self.loaded.experiment

    @property
    def tokenizer(self) -> Tokenizer:
        """The model's tokenizer."""
        return self.loaded.tokenizer

    @property
    def precision(self) -> Precision:
        """Precision of weights and states."""
        return self.engine.precision

    @property
    def device(self) -> str:
        """Kind of device that computes the texts."""
        return self.loaded.model.device.type

    def open_slots(self, config: GenerationConfig, rules: Rules, *, costs: bool = False) -> Slots:
        """Return slots of torch; see `rnnlm.engine.running.open_slots`."""
        from rnnlm.engine import running  # noqa: PLC0415 - imports torch

        model, tokenizer = self.loaded.model, self.tokenizer
        return running.open_slots(self.engine, model, tokenizer, config, rules, costs=costs)


def checkpoint_in(path: Path) -> Path:
    """Return the checkpoint that a path refers to: a file, or the one in a folder.

    Raises:
        CheckpointError: There is no checkpoint, or the folder has several.
    """
    if not path.is_dir():
        if path.is_file():
            return path
        raise CheckpointError(
            f"no file {path} (expected a .safetensors file, or a folder that holds one); check the "
            "path"
        )
    for name in FILES:
        if (path / name).is_file():
            return path / name
    found = sorted(path.glob("*.safetensors")) or sorted(path.glob("artifacts/*.safetensors"))
    if len(found) == 1:
        return found[0]
    what = f"{len(found)} .safetensors files" if found else "no model"
    raise CheckpointError(
        f"{what} in {path} (expected {' or '.join(FILES)}, or just one file); give the path of one"
    )


def user_folder() -> Path:
    """Return this user's folder for packed models that belong to no home (`RNNLM_HOME`).

    It is `rnnlm/packed` in `XDG_CACHE_HOME`, or else in `~/.cache`.
    """
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "rnnlm" / "packed"


def has_gpu_driver() -> bool:
    """Return whether a driver is loaded for a GPU that torch may be able to use.

    Only torch knows whether it can, but importing it takes a second.
    """
    return any(map(os.path.exists, ("/proc/driver/nvidia", "/dev/kfd", "/dev/dxg")))


def load_sampler(
    checkpoint: Path,
    folder: Path | None,
    digest: str | None = None,
    precision: str = AUTO,
    *,
    gpu: bool = False,
) -> Sampler:
    """Return a checkpoint's model, ready to draw texts from.

    The packed form of a model is kept in `folder`; if it is there already, torch is not imported.

    Args:
        checkpoint: The checkpoint.
        folder: Folder of packed models; created if needed. If it cannot be written to, the model is
            packed again the next time. None to keep none.
        digest: The sha256 that the checkpoint should have; None if it is not known.
        precision: A precision, or `auto` for the one that was chosen when the model was trained.
        gpu: Whether to use a GPU if there is one; worker processes take several in turn.

    Raises:
        CheckpointError: The checkpoint is missing, damaged, or not a checkpoint.
    """
    known = digest or digest_of_checkpoint(checkpoint)
    on_gpu = gpu and has_gpu_driver()
    if folder and native_available() and not on_gpu:
        kept = packed.load(packed.packed_path(folder, known))
        if kept is not None and precision in (AUTO, kept.precision):
            return kept
    if digest and digest != digest_of_checkpoint(checkpoint):
        raise damaged(checkpoint)
    return _load_with_torch(checkpoint, folder, known, precision, gpu=on_gpu)


def digest_of_checkpoint(checkpoint: Path) -> str:
    """Return the sha256 of a checkpoint's file.

    Raises:
        CheckpointError: There is no such file.
    """
    if not checkpoint.is_file():
        raise CheckpointError(f"no checkpoint at {checkpoint}; train the model again")
    return file_digest(checkpoint)


def _load_with_torch(
    checkpoint: Path, folder: Path | None, digest: str, precision: str, *, gpu: bool
) -> Sampler:
    from rnnlm import checkpoint as checkpoints  # noqa: PLC0415 - imports torch
    from rnnlm.devices import gpu_count, worker_device  # noqa: PLC0415
    from rnnlm.engine import running  # noqa: PLC0415
    from rnnlm.engine.packing import pack  # noqa: PLC0415

    device = worker_device("cuda" if gpu and gpu_count() else "cpu")
    loaded = checkpoints.load(checkpoint, device)
    how = running.choose_engine(loaded.model, running.resolve(precision, loaded.facts))
    if how.kind != "native":
        return UnpackedModel(loaded, how)
    tokenizer = loaded.tokenizer
    network = pack(loaded.model, running.PRECISIONS[how.precision], tokenizer.unknown_id)
    described = Described(loaded.experiment, tokenizer, loaded.facts)
    made = packed.PackedModel(network, how.precision, described)
    if folder and precision == AUTO:
        with suppress(StorageError):  # a read-only folder or a full disk
            packed.save(packed.packed_path(folder, digest), made)
    return made
