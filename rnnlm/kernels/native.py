"""Interface to the native code in C, which setuptools builds once per kind of processor.

Each build is a plain shared library for one instruction set, such as AVX2; the build `portable`
runs on any processor. It is called through
ctypes, with the addresses of tensors. ctypes releases Python's global lock, so that several threads
run in parallel: each runs all time steps for its share of the lanes (rows of the batch). If the
package was installed without a C compiler, there are no builds, and plain torch code is used.
"""

from concurrent.futures import ThreadPoolExecutor
from ctypes import CDLL, c_long, c_void_p
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

COLUMNS = 64
"""Number of columns in a block of a packed matrix (see `pack`), as in `products.h`."""
FEWEST_LANES = 8
"""Fewest lanes (rows of the batch) for which a separate thread is worthwhile."""


def native_available() -> bool:
    """Return whether there is a build of the native code that this processor can run."""
    return library() is not None


def usable(products: torch.dtype, *tensors: Tensor) -> bool:
    """Return whether native code can run an LSTM on these tensors.

    All tensors must be 32-bit floats on the CPU and must not be empty.

    Args:
        products: The dtype in which matrix products are to be computed: float32 or bfloat16. With
            bfloat16, the number of hidden units must be even.
        tensors: Arguments of the layer. The last axis of the last one must be the hidden units.
    """
    return (
        native_available()
        and (
            products == torch.float32
            or (products == torch.bfloat16 and not tensors[-1].shape[-1] % 2)
        )
        and all(t.device.type == "cpu" and t.dtype == torch.float32 and t.numel() for t in tensors)
    )


@cache
def library() -> CDLL | None:
    """Return the fastest build that exists and that this processor can run; None without one."""
    found = names()
    return load(found[0]) if found else None


def names() -> list[str]:
    """Return the names of the builds that exist and that this processor can run, fastest first."""
    avx512, vnni = torch.cpu._is_avx512_supported(), torch.cpu._is_vnni_supported()
    supported = {
        "avx512_bf16": torch.cpu._is_avx512_bf16_supported() and vnni,
        "avx512_vnni": avx512 and vnni,
        "avx512": avx512,
        "avx2": torch.cpu._is_avx2_supported(),
        "portable": True,
    }
    return [name for name, is_supported in supported.items() if is_supported and _path(name)]


@cache
def load(name: str) -> CDLL:
    """Load the build with this name, such as `avx2`, as a shared library."""
    return CDLL(str(_path(name)))


def _path(name: str) -> Path | None:
    paths = (Path(__file__).with_name(f"_{name}{suffix}") for suffix in EXTENSION_SUFFIXES)
    return next((path for path in paths if path.is_file()), None)


def padded(columns: int) -> int:
    """Return a number of columns rounded up to a multiple of `COLUMNS`, as in `recurrence.c`."""
    return columns + -columns % COLUMNS


def pack(matrix: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the right factor of a matrix product in the layout that `products.h` reads.

    The columns are padded with zeros and split into blocks of `COLUMNS`. Numbers are grouped into
    32-bit words, each with 4 / itemsize consecutive numbers of one column.

    Args:
        matrix: The factor, shape (depth, columns). The depth must be a multiple of the number of
            numbers in a word.
        dtype: The type of the result: torch.float32 (one number in a word), torch.bfloat16 (two) or
            torch.int8 (four).

    Returns:
        The packed matrix, of shape (blocks, depth in words, COLUMNS, numbers in a word).
    """
    depth, columns = matrix.shape
    numbers = 4 // dtype.itemsize
    whole = functional.pad(matrix.to(dtype), (0, padded(columns) - columns))
    words = whole.reshape(depth // numbers, numbers, -1, COLUMNS)
    return words.permute(2, 0, 3, 1).contiguous()


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
    function = getattr(library(), name)
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
