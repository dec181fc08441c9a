"""Choose the device, the number format and the number of threads for training and scoring."""

import multiprocessing
import re
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from rnnlm.config import TrainingConfig
from rnnlm.errors import ConfigError


def choose_device(name: str = "auto", rank: int = 0) -> torch.device:
    """Return the torch device that a process should use; a GPU becomes torch's current one.

    Args:
        name: The value of `training.device`: `auto`, `cpu`, `cuda`, or `cuda:` with a number.
        rank: Number of the process among the training processes on this machine; unless `name` has
            a number, each process takes a separate GPU.

    Raises:
        ConfigError: The GPU does not exist.
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
            f"and process {rank} needs one; set training.device=auto, or fewer training.processes"
        )
    torch.cuda.set_device(index)
    return torch.device("cuda", index)


def worker_device(kind: str) -> torch.device:
    """Return the device for a worker process; the workers of a pool take the GPUs in turn.

    Dask's workers have no such numbers, and all take the first GPU that they see; set
    CUDA_VISIBLE_DEVICES for each.

    Args:
        kind: `cpu` or `cuda`.
    """
    if kind == "cpu":
        return torch.device("cpu")
    number = re.search(r"-(\d+)$", multiprocessing.current_process().name)
    turn = int(number[1]) - 1 if number else 0
    return choose_device(kind, turn % torch.cuda.device_count())


def gpu_count() -> int:
    """Return the number of GPUs that torch can use here."""
    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def device_name(device: torch.device) -> str:
    """Return a device's name for users: `cpu`, or the GPU's name."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def choose_precision(config: TrainingConfig, device: torch.device) -> torch.dtype:
    """Return the number format for matrix products that `training.precision` sets.

    `auto` is bfloat16 if the device has instructions for it, and float32 otherwise.
    """
    if config.precision == "auto":
        return torch.bfloat16 if _computes_bf16(device) else torch.float32
    return {"fp32": torch.float32, "bf16": torch.bfloat16}[config.precision]


def _computes_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


@contextmanager
def one_thread(wanted: bool) -> Iterator[None]:
    """Limit torch to one thread within this context if `wanted`; restore the count afterwards."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1 if wanted else threads)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
