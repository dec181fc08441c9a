"""The sampling engine: samples many texts at once, in native code or in torch.

A batch of slots steps together. Each slot holds one text, and takes the next text when it ends.
"""

from rnnlm.engine.running import (
    PRECISIONS,
    Engine,
    Precision,
    Slots,
    choose_engine,
    log_probabilities,
    open_slots,
    resolve,
    run,
)

__all__ = [
    "PRECISIONS",
    "Engine",
    "Precision",
    "Slots",
    "choose_engine",
    "log_probabilities",
    "open_slots",
    "resolve",
    "run",
]
