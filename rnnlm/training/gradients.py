"""Sums of gradients over the processes of a group, exchanged while the backward pass still runs.

The gradients are sent in buckets. A backward pass reaches the last layers first, so the first
bucket holds the last parameters, and it is sent as soon as they have their gradients.

Source: Li et al. 2020, PyTorch Distributed: Experiences on Accelerating Data Parallel Training.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Literal, Protocol

import torch
from torch import Tensor, distributed, nn

from rnnlm.training.group import Group, exchanging

BUCKET_BYTES = 4_000_000
"""Smallest size of a bucket: fewer bytes do not use the bandwidth of a network of 1 Gbit/s."""


class _Work(Protocol):
    def wait(self) -> object: ...


class GradientSum:
    """Replaces the gradients of a model by their sums over the processes of its group."""

    def __init__(
        self, parameters: Iterable[nn.Parameter], group: Group, precision: Literal["fp32", "bf16"]
    ) -> None:
        """Arrange the parameters in buckets; for a group of one, do nothing.

        Args:
            parameters: Parameters whose `grad` is summed, in the order of the forward pass.
            group: The processes; all of them have the same parameters.
            precision: The setting `training.reduce_precision`: the number format in which gradients
                are sent and added.
        """
        self._buckets: list[_Bucket] = []
        self._next = 0
        if group.size == 1:
            return
        sent = torch.bfloat16 if precision == "bf16" else torch.float32
        for chosen in _by_size([*parameters][::-1]):
            bucket = _Bucket(chosen, sent)
            self._buckets.append(bucket)
            for parameter in chosen:
                parameter.register_post_accumulate_grad_hook(  # type: ignore[no-untyped-call]
                    self._on_gradient(bucket)
                )

    def finish(self, nll_nats: Tensor) -> Tensor:
        """Send what the backward pass has not sent, and wait until all gradients are summed.

        Every process calls this once per step. A process without lanes had no backward pass; its
        gradients count as zero.

        Args:
            nll_nats: Negative log-likelihood of this process's lanes in nats, a scalar.

        Returns:
            The sum of `nll_nats` over the processes.
        """
        if not self._buckets:
            return nll_nats
        total = nll_nats.double()
        with exchanging():
            counted = distributed.all_reduce(total, async_op=True)
            self._send(everything=True)
            for bucket in self._buckets:
                bucket.receive()
            counted.wait()
        self._next = 0
        return total

    def _on_gradient(self, bucket: "_Bucket") -> Callable[[Tensor], None]:
        def count(_: Tensor) -> None:
            bucket.missing -= 1
            self._send()

        return count

    def _send(self, everything: bool = False) -> None:
        """Send the buckets that are complete, always in the same order, as all processes must."""
        with exchanging():
            while self._next < len(self._buckets):
                bucket = self._buckets[self._next]
                if bucket.missing and not everything:
                    return
                bucket.send()
                self._next += 1


class _Bucket:
    """Gradients that are sent together.

    Attributes:
        missing: Number of parameters whose gradient this step's backward pass has not computed.
    """

    def __init__(self, parameters: list[nn.Parameter], precision: torch.dtype) -> None:
        self._parameters = parameters
        self.missing = len(parameters)
        sizes = [parameter.numel() for parameter in parameters]
        self._sent = torch.empty(sum(sizes), dtype=precision, device=parameters[0].device)
        parts = torch.split(self._sent, sizes)
        self._parts = [p.view_as(q) for p, q in zip(parts, parameters, strict=True)]
        self._work: _Work | None = None

    def send(self) -> None:
        """Start to add the gradients to those of the other processes."""
        torch._foreach_copy_(self._parts, self._gradients())
        self._work = distributed.all_reduce(self._sent, async_op=True)

    def receive(self) -> None:
        """Wait for the sums, and write them into the parameters' `grad`."""
        assert self._work is not None
        self._work.wait()
        torch._foreach_copy_(self._gradients(), self._parts)
        self.missing, self._work = len(self._parameters), None

    def _gradients(self) -> list[Tensor]:
        for parameter in self._parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        return [p.grad for p in self._parameters if p.grad is not None]


def _by_size(parameters: list[nn.Parameter]) -> Iterator[list[nn.Parameter]]:
    """Yield runs of parameters of at least `BUCKET_BYTES` each, except the last."""
    run: list[nn.Parameter] = []
    for parameter in parameters:
        run.append(parameter)
        if sum(p.numel() * p.element_size() for p in run) >= BUCKET_BYTES:
            yield run
            run = []
    if run:
        yield run
