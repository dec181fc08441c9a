"""Fewer runs of Python's garbage collector while modules load.

Imports create a million objects and no garbage; collecting at the usual rate adds more than a
second to a command.
"""

import gc

_USUAL = gc.get_threshold()
_STARTING = (50_000, 10, 100)


def rest() -> None:
    """Collect garbage rarely; called at the start of a process."""
    gc.set_threshold(*_STARTING)


def resume() -> None:
    """Collect at the usual rate again, but ignore all objects created so far."""
    gc.freeze()
    gc.set_threshold(*_USUAL)
