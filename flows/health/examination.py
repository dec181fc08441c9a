"""Run all checks of a home."""

from collections.abc import Iterator

from flows.health import contents, database_checks, surroundings
from flows.health.findings import Finding, problem, repaired
from flows.runtime.home import Home
from rnnlm.progress import OnProgress, silent


def examine(home: Home, *, repair: bool = False, tell: OnProgress = silent) -> Iterator[Finding]:
    """Check a home and yield what was found.

    Args:
        home: The home.
        repair: Whether to repair problems. Each problem is repaired before the next check runs,
            because later checks may depend on it: only a sound database lists all versions.
        tell: Called with the number of steps checked.
    """
    for finding in _all(home, tell):
        yield repaired(finding) if repair else finding


def _all(home: Home, tell: OnProgress) -> Iterator[Finding]:
    if not home.root.is_dir():
        yield problem("home", f"{home.root} is not a folder; create it, or correct RNNLM_HOME")
        return
    yield surroundings.home_format(home)
    yield surroundings.free_space(home)
    yield from surroundings.permissions(home)
    yield from database_checks.databases(home)
    yield from contents.versions(home)
    yield from contents.steps(home, tell)
    yield from contents.data_sets(home)
    yield surroundings.held_locks(home)
    yield surroundings.leftovers(home)
