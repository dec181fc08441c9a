"""Keep freed memory in the process, which makes the steps of a training loop cheaper."""

import ctypes
import os

MMAP_THRESHOLD, TRIM_THRESHOLD = -3, -1
"""Parameters of glibc's `mallopt`, from its malloc.h."""


def keep_freed_memory() -> bool:
    """Make this process keep the memory that it frees, for its next allocations.

    glibc returns every freed block over 32 MiB to the operating system at once; a new block then
    comes as pages that must be filled with zeros. For the window-sized tensors of a training step,
    which are allocated again in every step, that costs more than the arithmetic on them. Call this
    from a loop that repeats the same step, not from a library; it lasts as long as the process.

    Returns:
        Whether the C library supports this.
    """
    if os.name != "posix":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return bool(mallopt and mallopt(MMAP_THRESHOLD, 1 << 30) and mallopt(TRIM_THRESHOLD, 2**31 - 1))
