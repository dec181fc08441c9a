"""Make Python's garbage collector run less often while modules are imported.

Imports create a million objects and no garbage; with the usual frequency of collections, a command
takes more than a second longer.
"""

import gc

_USUAL = gc.get_threshold()
_STARTING = (50_000, 10, 100)


def rest() -> None:
    """Make the garbage collector run rarely; called at the start of a process."""
    gc.set_threshold(*_STARTING)


def resume() -> None:
    """Make the garbage collector run as often as usual, but ignore all objects created so far."""
    gc.freeze()
    gc.set_threshold(*_USUAL)
