"""Interface to `recurrence.c`, which runs the time loop of an LSTM in training.

It is called through ctypes, with the addresses of tensors. ctypes releases Python's global lock, so
that several threads run in parallel: each runs all time steps for its share of the lanes (rows of
the batch).
"""

from concurrent.futures import ThreadPoolExecutor
from ctypes import c_long, c_void_p

import torch
from torch import Tensor

from rnnlm.kernels import native

FEWEST_LANES = 8
"""Fewest lanes (rows of the batch) for which a separate thread is worthwhile."""


def usable(products: torch.dtype, *tensors: Tensor) -> bool:
    """Return whether native code can run an LSTM on these tensors.

    All tensors must be 32-bit floats on the CPU and must not be empty.

    Args:
        products: The dtype in which matrix products are to be computed: float32 or bfloat16. With
            bfloat16, the number of hidden units must be even.
        tensors: Arguments of the layer. The last axis of the last one must be the hidden units.
    """
    return (
        native.native_available()
        and (
            products == torch.float32
            or (products == torch.bfloat16 and not tensors[-1].shape[-1] % 2)
        )
        and all(t.device.type == "cpu" and t.dtype == torch.float32 and t.numel() for t in tensors)
    )


def pack(matrix: Tensor, dtype: torch.dtype) -> Tensor:
    """Return a matrix of weights in the layout of `rnnlm.kernels.native.blocks`.

    Args:
        matrix: The right factor of a product, shape (depth, columns).
        dtype: The type of the result: torch.float32 or torch.bfloat16.
    """
    weights = matrix.detach().to(dtype)
    bits = weights.view(torch.uint16) if dtype == torch.bfloat16 else weights
    return torch.from_numpy(native.blocks(bits.numpy())).view(dtype)


def run(name: str, sizes: tuple[int, int, int], *tensors: Tensor | None) -> None:
    """Call a function of the native code for all lanes, split over several threads.

    At most as many threads are used as torch uses.

    Args:
        name: Name of the function: `lstm_forward` or `lstm_backward`.
        sizes: Number of time steps, of lanes in the batch, and of hidden units.
        tensors: The array arguments of the function, in its order; all must be contiguous. It
            writes its results into some of them.
    """
    steps, batch, hidden = sizes
    function = getattr(native.library(), name)
    addresses = [c_void_p(None if tensor is None else tensor.data_ptr()) for tensor in tensors]
    threads = max(1, min(torch.get_num_threads(), batch // FEWEST_LANES))
    bounds = [batch * thread // threads for thread in range(threads + 1)]

    def lanes(first: int, last: int) -> None:
        function(*map(c_long, (steps, batch, first, last, hidden)), *addresses)

    if threads == 1:
        lanes(0, batch)
        return
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lanes, bounds[:-1], bounds[1:]))
