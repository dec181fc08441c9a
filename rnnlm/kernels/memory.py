"""What the operating system's memory costs a training loop, and how not to pay it every step."""

import ctypes
import os

MMAP_THRESHOLD, TRIM_THRESHOLD = -3, -1
"""Parameters of glibc's `mallopt`, from its malloc.h."""


def keep_freed_memory() -> bool:
    """Have this process keep the memory that it frees, for its next allocations.

    glibc returns every block over 32 MiB to the operating system at once, and gets it back as pages
    to be filled with zeros: for the window-sized tensors of a training step, made anew every step,
    that costs more than the arithmetic on them. To be called by a loop that does the same step over
    and over, not by a library; it lasts as long as the process.

    Returns:
        Whether the C library knows how.
    """
    if os.name != "posix":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return bool(mallopt and mallopt(MMAP_THRESHOLD, 1 << 30) and mallopt(TRIM_THRESHOLD, 2**31 - 1))
