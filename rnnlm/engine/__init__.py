"""The sampling engine: slots that step together and refill, in native code or in torch."""

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
