"""The rules of housekeeping, and what it finds."""

from dataclasses import dataclass
from pathlib import Path

from rnnlm.errors import ConfigError

DAY_SECONDS = 86_400.0
BUSY_SECONDS = 600.0
"""After a sign of work on a name, during which all of that name stays: steps follow each other."""
SILENT_SECONDS = 3600.0
"""Without any sign of life after which a run counts as dead."""
MOST_DAYS = 36_500


@dataclass(frozen=True)
class Rules:
    """How much to keep.

    Attributes:
        keep_days: Nothing younger goes.
        keep_versions: Newest versions of each model that stay, aliases or not.
        now: Seconds since 1970 at which ages are taken.
    """

    keep_days: float
    keep_versions: int
    now: float

    def __post_init__(self) -> None:
        """Refuse what cannot be meant.

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
        """Return whether a time lies longer back than what is kept."""
        return self.now - since > self.keep_days * DAY_SECONDS

    def days(self, since: float) -> float:
        """Return a time's distance from now in days."""
        return round(max(0.0, self.now - since) / DAY_SECONDS, 2)


@dataclass(frozen=True)
class Leftover:
    """One thing that could go.

    Attributes:
        kind: What it is, in a word or two; see `KINDS`.
        name: Of the model or flow that it belongs to; may be empty.
        what: A path under the home, or an id.
        bytes: On disk; 0 for what lies in a database.
        days: Its age.
        why: In a few words.
        path: Of files; None for what has none here.
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
"""Kinds of leftovers, in the order in which they go: what names others before what it names."""


def size_of(path: Path) -> int:
    """Return the bytes of a file, or of all files under a folder; links are not followed."""
    if path.is_symlink() or path.is_file():
        return path.lstat().st_size
    return sum(entry.lstat().st_size for entry in path.rglob("*") if not entry.is_dir())
