"""Where training and scoring compute, in which numbers, and on how many threads."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from rnnlm.config import ModelConfig, TrainingConfig
from rnnlm.errors import ConfigError
from rnnlm.kernels import native_available

LARGEST_ALONE = 512
"""Features of a layer up to which a step's product is too small to share (docs/experiments.md)."""


def choose_device(name: str = "auto", rank: int = 0) -> torch.device:
    """Return the device that `auto`, `cpu` or `cuda` names for a process on this machine.

    Args:
        name: `training.device`.
        rank: Number of the process among those of this machine; each takes a GPU of its own.

    Raises:
        ConfigError: That GPU is not there.
    """
    if name == "auto" and not torch.cuda.is_available():
        return torch.device("cpu")
    device = torch.device("cuda" if name == "auto" else name)
    if device.type == "cpu":
        return device
    index = rank if device.index is None else device.index
    if index >= torch.cuda.device_count():
        raise ConfigError(
            f"training.device = {name!r}, but torch sees {torch.cuda.device_count()} GPUs here "
            f"and process {rank} needs one; say training.device=auto, or fewer training.processes"
        )
    return torch.device("cuda", index)


def choose_precision(config: TrainingConfig, device: torch.device) -> torch.dtype:
    """Return the numbers that products are computed in: float32, or bfloat16 where it is native."""
    if config.precision == "auto":
        return torch.bfloat16 if _computes_bf16(device) else torch.float32
    return {"fp32": torch.float32, "bf16": torch.bfloat16}[config.precision]


def _computes_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


@contextmanager
def fitting_threads(model: ModelConfig, device: torch.device) -> Iterator[None]:
    """Compute on one thread within this context, where several would mostly wait for each other.

    So it is on a CPU with layers that take one small product after the other. Torch's number of
    threads is set, and afterwards as it was.
    """
    steps = model.architecture in ("simple", "gru", "mogrifier")
    steps = steps or (model.architecture == "lstm" and not native_available())
    if not (steps and device.type == "cpu" and max(model.layer_sizes) <= LARGEST_ALONE):
        yield
        return
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
