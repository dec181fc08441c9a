"""Python's garbage collector, which rests while modules load.

Imports make a million objects and no garbage; looking for it at the usual pace takes more than a
second of a command.
"""

import gc

_USUAL = gc.get_threshold()
_STARTING = (50_000, 10, 100)


def rest() -> None:
    """Look for garbage seldom, from the start of a process on."""
    gc.set_threshold(*_STARTING)


def resume() -> None:
    """Look at the usual pace again, and no more at what was made so far."""
    gc.freeze()
    gc.set_threshold(*_USUAL)
