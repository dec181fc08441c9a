"""Define how much housekeeping keeps (`Rules`) and the items that it can remove (`Leftover`)."""

from dataclasses import dataclass
from pathlib import Path

from rnnlm.errors import ConfigError

DAY_SECONDS = 86_400.0
SILENT_SECONDS = 3600.0
"""A run without any sign of life for this long counts as dead."""
MOST_DAYS = 36_500


@dataclass(frozen=True)
class Rules:
    """How much to keep.

    Attributes:
        keep_days: Everything younger than this many days stays.
        keep_versions: Number of newest versions of each model that stay, with or without an alias.
        now: Current time in seconds since 1970, from which ages are counted.
    """

    keep_days: float
    keep_versions: int
    now: float

    def __post_init__(self) -> None:
        """Check the numbers.

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
        """Return whether a time (in seconds since 1970) is more than `keep_days` ago."""
        return self.now - since > self.keep_days * DAY_SECONDS

    def days(self, since: float) -> float:
        """Return how many days ago a time (in seconds since 1970) was, rounded to 0.01 days."""
        return round(max(0.0, self.now - since) / DAY_SECONDS, 2)


@dataclass(frozen=True)
class Leftover:
    """An item that housekeeping can remove, such as a folder, a version or a flow run.

    Attributes:
        kind: Kind of the item, one of `KINDS`.
        name: Name of the model or flow that the item belongs to; may be empty.
        what: The item's path relative to the home, its id, or its name and version number.
        bytes: Bytes on disk that the removal frees; 0 for an item that is only a database row.
        days: Age in days.
        why: Reason for the removal, in a few words.
        path: Path of the item's file or folder; None if housekeeping removes it in another way.
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
    "packed",
    "temporary",
    "lock",
    "log",
    "flow run",
    "database",
)
"""All kinds of leftovers in the order of their removal: an item is removed before the items that
it refers to."""


def size_of(path: Path) -> int:
    """Return the size in bytes of a file, or of all files in a folder and its subfolders.

    Symbolic links are not followed.
    """
    if path.is_symlink() or path.is_file():
        return path.lstat().st_size
    return sum(entry.lstat().st_size for entry in path.rglob("*") if not entry.is_dir())


def readable(size: int) -> str:
    """Return a number of bytes in readable form, such as `1.5 GB`."""
    for scale, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if size >= scale:
            return f"{size / scale:.1f} {unit}"
    return f"{size} B"
