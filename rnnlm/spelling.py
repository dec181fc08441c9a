"""Suggest the name that a user may have meant."""

import difflib
from collections.abc import Iterable


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a suggestion for an error message, such as `did you mean colors?`; "" without one.

    Args:
        name: The name that is not known.
        known: The names that are; the closest one is suggested if it is close enough.
    """
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.75)
    return f"did you mean {close[0]}?" if close else ""
