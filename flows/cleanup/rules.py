"""The rules of housekeeping, and the leftovers that it finds."""

from dataclasses import dataclass
from pathlib import Path

from rnnlm.errors import ConfigError

DAY_SECONDS = 86_400.0
BUSY_SECONDS = 600.0
"""Time after work on a name during which all of that name stays, as another step may follow."""
SILENT_SECONDS = 3600.0
"""Time without any sign of life after which a run counts as dead."""
MOST_DAYS = 36_500


@dataclass(frozen=True)
class Rules:
    """How much to keep.

    Attributes:
        keep_days: Days for which everything stays.
        keep_versions: Number of newest versions of each model that stay, aliased or not.
        now: Current time in seconds since 1970, from which ages are counted.
    """

    keep_days: float
    keep_versions: int
    now: float

    def __post_init__(self) -> None:
        """Refuse numbers that are out of range.

        Raises:
            ConfigError: A number is out of range.
        """
        if not 0 <= self.keep_days <= MOST_DAYS:
            raise ConfigError(
                f"keep_days = {self.keep_days:g} (expected 0 to {MOST_DAYS:,} days); "
                "30 is the default"
            )
        if self.keep_versions < 1:
            raise ConfigError(
                f"keep_versions = {self.keep_versions} (expected at least 1: a model's newest "
                "version always stays); 5 is the default"
            )

    def is_old(self, since: float) -> bool:
        """Return whether a time is more than `keep_days` ago."""
        return self.now - since > self.keep_days * DAY_SECONDS

    def days(self, since: float) -> float:
        """Return how many days ago a time was."""
        return round(max(0.0, self.now - since) / DAY_SECONDS, 2)


@dataclass(frozen=True)
class Leftover:
    """One thing that can be removed.

    Attributes:
        kind: Kind of thing; see `KINDS`.
        name: Name of the model or flow that it belongs to; may be empty.
        what: A path under the home, or an id.
        bytes: Bytes on disk; 0 for a row of a database.
        days: Age in days.
        why: Short reason for the removal.
        path: Path of its files; None if it has none here.
    """

    kind: str
    name: str
    what: str
    bytes: int
    days: float
    why: str
    path: Path | None = None


KINDS = (
    "stale run",
    "stale flow run",
    "version",
    "packaged model",
    "run",
    "step",
    "half-removed",
    "position",
    "fetched",
    "temporary",
    "lock",
    "log",
    "flow run",
    "database",
)
"""Kinds of leftovers in order of removal: what refers to other things goes before them."""


def size_of(path: Path) -> int:
    """Return the bytes of a file, or of all files under a folder; links are not followed."""
    if path.is_symlink() or path.is_file():
        return path.lstat().st_size
    return sum(entry.lstat().st_size for entry in path.rglob("*") if not entry.is_dir())
