"""Interface to the native code, which setuptools builds once per kind of processor.

The builds are plain shared libraries, called through ctypes with the addresses of tensors. ctypes
releases Python's lock, so each thread takes its own lanes of the batch through all time steps
without waiting for the others. Without a compiler there are no builds, and plain torch code is used
instead.
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
"""Columns of a block of a packed matrix, as in `recurrence.c`."""
FEWEST_LANES = 8
"""Fewest lanes that are worth a separate thread."""


def native_available() -> bool:
    """Return whether an LSTM of 32-bit floats on this CPU goes through native code."""
    return library() is not None


def usable(products: torch.dtype, *tensors: Tensor) -> bool:
    """Return whether the native loops can take these tensors and this precision of products.

    The last axis of the last tensor holds the hidden units; bfloat16 needs an even number of them.
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
    """Return the best existing build that this processor can run, or None."""
    found = names()
    return load(found[0]) if found else None


def names() -> list[str]:
    """Return the names of existing builds that this processor can run, the best first."""
    avx512, vnni = torch.cpu._is_avx512_supported(), torch.cpu._is_vnni_supported()
    supported = {
        "avx512_bf16": torch.cpu._is_avx512_bf16_supported() and vnni,
        "avx512_vnni": avx512 and vnni,
        "avx512": avx512,
        "avx2": torch.cpu._is_avx2_supported(),
    }
    return [name for name, is_supported in supported.items() if is_supported and _path(name)]


@cache
def load(name: str) -> CDLL:
    """Return the build of this name."""
    return CDLL(str(_path(name)))


def _path(name: str) -> Path | None:
    paths = (Path(__file__).with_name(f"_{name}{suffix}") for suffix in EXTENSION_SUFFIXES)
    return next((path for path in paths if path.is_file()), None)


def padded(columns: int) -> int:
    """Return a number of columns rounded up to whole blocks, as in `recurrence.c`."""
    return columns + -columns % COLUMNS


def pack(matrix: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the right factor of products in the layout that `products.h` reads.

    Args:
        matrix: (depth, columns); the depth must be a multiple of the numbers in a word.
        dtype: torch.float32, torch.bfloat16 (two in a word) or torch.int8 (four).

    Returns:
        (blocks, words of the depth, columns of a block, numbers in a word).
    """
    depth, columns = matrix.shape
    numbers = 4 // dtype.itemsize
    whole = functional.pad(matrix.to(dtype), (0, padded(columns) - columns))
    words = whole.reshape(depth // numbers, numbers, -1, COLUMNS)
    return words.permute(2, 0, 3, 1).contiguous()


def run(name: str, sizes: tuple[int, int, int], *tensors: Tensor | None) -> None:
    """Call a function of the library on all lanes, in at most as many threads as torch uses.

    Args:
        name: `lstm_forward` or `lstm_backward`.
        sizes: Time steps, lanes of the batch, hidden units.
        tensors: Contiguous arrays in the order of the function's parameters; its outputs are
            mutated.
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
