"""What a base has read: hashes of some windows (runs of 13 words) of its training text."""

from pathlib import Path

import numpy as np

from rnnlm.header import load_arrays
from rnnlm.overlap import Hashes

WINDOWS = "base.windows"
"""Name of the tensor in a base's file that holds hashes of sampled 13-word windows of the base's
training text, as 64-bit integers; see `rnnlm.overlap`."""


def windows_of(path: Path) -> Hashes:
    """Return the sampled hashes of a base's training text; an empty array if the file has none.

    Raises:
        CheckpointError: The file is missing, damaged or of another format.
    """
    found = load_arrays(path).get(WINDOWS)
    return np.zeros(0, np.uint64) if found is None else found.view(np.uint64)
