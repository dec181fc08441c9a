"""Data-parallel training: each process of a group takes a share of the lanes of every batch.

A lane is a row of the batch: a sequence of tokens with its own recurrent state. Gradients are
summed over the processes (`rnnlm.training.gradients`), so that several processes take the same
optimizer steps as one process with the same batch. A single process is a group of one, which adds
no overhead.

`rnnlm.training.launch` or torchrun starts the processes and sets their ranks in the environment.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta

import torch
from torch import Tensor, distributed

from rnnlm.batching import Window
from rnnlm.devices import choose_device
from rnnlm.errors import WorkerError
from rnnlm.models import State
from rnnlm.training.launch import RENDEZVOUS, is_launched

PATIENCE = timedelta(minutes=5)
"""Time to wait for the other processes in an exchange before they count as lost."""


@contextmanager
def exchanging() -> Iterator[None]:
    """Exchange data with the other processes within this context.

    Raises:
        WorkerError: Another process, or the connection to it, was lost.
    """
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        what = str(error).strip().partition("\n")[0].partition(". ")[0].rpartition("] ")[2]
        raise WorkerError(
            f"another training process was lost ({what}); run the same command again to continue "
            "from the last position"
        ) from error


@dataclass(frozen=True)
class Group:
    """The rank of this process in its group, and the communication with the other processes.

    Attributes:
        rank: Number of this process in the group, from 0. Rank 0 is the leader, which writes the
            files and decides when to save, validate and stop.
        size: Number of processes in the group.
        local_rank: Number of this process among those on the same machine, from 0.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @property
    def leads(self) -> bool:
        """Whether this process is the leader; see `rank`."""
        return self.rank == 0

    def share(self, window: Window) -> Window:
        """Return a window with only this process's lanes.

        If the window has fewer lanes than there are processes, some processes get none.

        Args:
            window: The tokens of one training step, for all lanes of the batch.
        """
        if self.size == 1:
            return window
        lanes = self._lanes(len(window.fresh))
        return replace(
            window,
            inputs=window.inputs[lanes],
            targets=window.targets[lanes],
            mask=window.mask[lanes],
            fresh=window.fresh[lanes],
            documents=window.documents[lanes],
            tokens=int(window.mask[lanes].sum()),
        )

    def own(self, state: State | None) -> State | None:
        """Return this process's part of the recurrent state of all lanes; inverse of `whole`."""
        if self.size == 1 or not state:
            return state
        return tuple(part[self._lanes(len(part))] for part in state)

    def whole(self, state: State | None) -> State | None:
        """Return the recurrent state of all lanes, gathered from all processes.

        Every process must call this at the same time, and every process gets the result.

        Args:
            state: State of this process's lanes.
        """
        if self.size == 1 or state is None:
            return state
        gathered = []
        for part in state:
            lengths = self.sum(_one_hot(self.rank, self.size, len(part), part.device)).long()
            most = int(lengths.max())
            padded = part.new_zeros(most, *part.shape[1:])
            padded[: len(part)] = part
            parts = [torch.empty_like(padded) for _ in range(self.size)]
            with exchanging():
                distributed.all_gather(parts, padded)
            gathered.append(
                torch.cat([p[:n] for p, n in zip(parts, lengths.tolist(), strict=True)])
            )
        return tuple(gathered)

    def sum(self, values: Tensor) -> Tensor:
        """Return the elementwise sum of a tensor over the processes, computed in place."""
        if self.size > 1:
            with exchanging():
                distributed.all_reduce(values)
        return values

    def agree(self, *values: float) -> tuple[float, ...]:
        """Return the leader's values in every process, so that all take the same decision.

        They are sent from host to host, so that no process waits for its GPU.
        """
        if self.size == 1:
            return values
        agreed = torch.tensor(values, dtype=torch.float64)
        with exchanging():
            distributed.broadcast(agreed, src=0)
        return (*agreed.tolist(),)

    def _lanes(self, count: int) -> slice:
        return slice(count * self.rank // self.size, count * (self.rank + 1) // self.size)


def leave() -> None:
    """Wait until the other processes are done as well."""
    with exchanging():
        distributed.barrier()


def join(device: str = "auto") -> Group:
    """Connect to the other processes of this training run, and return the group.

    If this process was not started as one of several, the group has size 1.

    Args:
        device: The setting `training.device`, which determines the communication backend: NCCL for
            what is on GPUs, Gloo for what is in a host's memory.
    """
    if not is_launched():
        return Group()
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    if not distributed.is_initialized():
        own = choose_device(device, int(os.environ["LOCAL_RANK"]))
        on_gpu = own.type == "cuda"
        distributed.init_process_group(
            "cpu:gloo,cuda:nccl" if on_gpu else "gloo",
            init_method=os.environ.get(RENDEZVOUS, "env://"),
            timeout=PATIENCE,
            rank=rank,
            world_size=size,
            device_id=own if on_gpu else None,
        )
    return Group(rank, size, int(os.environ["LOCAL_RANK"]))


def _one_hot(index: int, size: int, value: int, device: torch.device) -> Tensor:
    vector = torch.zeros(size, dtype=torch.float64, device=device)
    vector[index] = value
    return vector
