"""Find the checkpoint that a user means by a name, a version, an alias or a path."""

from dataclasses import dataclass
from pathlib import Path

from flows.lookup.entries import Entry, read
from flows.lookup.references import CHAMPION, choose, is_second_choice
from flows.runtime.home import Home
from rnnlm import bases
from rnnlm.engine.loading import checkpoint_in, user_folder
from rnnlm.engine.packed import packed_path
from rnnlm.errors import RegistryError
from rnnlm.storage import is_intact


@dataclass(frozen=True)
class Found:
    """A model that was found.

    Attributes:
        name: What it is called: `name/version`, or a path.
        checkpoint: Path of its checkpoint.
        folder: Folder for its packed form; see `rnnlm.engine.loading`.
        digest: sha256 of its checkpoint; None if it is not known.
        is_registered: Whether it is a version in the registry.
        bits_per_character: Its score on the test split; None if it is not known.
        is_second_choice: Whether it is the challenger of a model without a champion.
    """

    name: str
    checkpoint: Path
    folder: Path
    digest: str | None = None
    is_registered: bool = False
    bits_per_character: float | None = None
    is_second_choice: bool = False


def find(home: Home, model: str, *, verify: bool = False) -> Found:
    """Return the model that a user means.

    A name in the registry takes precedence over a path, unless the path begins with `.`, `/` or
    `~`, or ends in `.safetensors`.

    Args:
        home: Home that holds the registry.
        model: `name`, `name@alias` or `name/version`; the path of a checkpoint or of a folder that
            holds one; or `english`, the base that comes with the package.
        verify: Always compare a registered checkpoint with its digest, and use an intact copy if
            they differ. If false, a checkpoint whose packed form is kept is not compared, because
            sampling reads only the packed form.

    Raises:
        RegistryError: There is no such version, or its files are missing or damaged.
        CheckpointError: There is no checkpoint at that path.
    """
    path = Path(model)
    if model.startswith((".", "/", "~")) or path.suffix == ".safetensors":
        return of_path(path.expanduser())
    entries = read(home)
    if entries is None:
        return _with_mlflow(home, model)
    try:
        name, number = choose(
            model,
            entries.versions,
            lambda name: sorted(entries.versions[name], reverse=True),
            lambda name: entries.aliases[name],
        )
    except RegistryError:
        if found := _outside(model):
            return found
        raise
    entry, called = entries.versions[name][number], f"{name}/{number}"
    checkpoint = _checkpoint(home, entry, verify)
    if checkpoint is None:
        return _with_mlflow(home, called)
    digest, bits = entry.digest or None, entry.bits_per_character
    alias = CHAMPION if entries.aliases[name].get(CHAMPION) == number else None
    second = is_second_choice(model, name, alias)
    return Found(called, checkpoint, home.packed, digest, True, bits, second)


def find_default(home: Home) -> tuple[Found, str]:
    """Return the only champion of a home, or else the base that comes with the package.

    Returns:
        The model, and in a few words why it is the base; empty for the champion.

    Raises:
        CheckpointError: This installation does not contain the base.
    """
    champions = _champions(home)
    if len(champions) == 1:
        return find(home, champions[0]), ""
    why = "there is no champion here yet"
    if champions:
        why = f"there are {len(champions)} champions here: {', '.join(champions)}"
    return of_base(), why


def _champions(home: Home) -> list[str]:
    """Return the names of all models that have a champion."""
    entries = read(home)
    if entries is not None:
        return sorted(name for name, held in entries.aliases.items() if CHAMPION in held)
    from flows import registry  # noqa: PLC0415 - imports MLflow, which takes seconds

    return sorted(v.name for v in registry.versions(home) if v.alias == CHAMPION)


def of_base(name: str = bases.SHIPPED[0]) -> Found:
    """Return a base that comes with the package."""
    path = bases.shipped(name)
    return Found(f"base {name}", checkpoint_in(path), user_folder(), bases.shipped_digest(name))


def of_path(path: Path) -> Found:
    """Return the model in a file or folder."""
    return Found(str(path), checkpoint_in(path), user_folder())


def _outside(model: str) -> Found | None:
    """Return the model that a name means outside the registry (a path or a base), or None."""
    if Path(model).exists():
        return of_path(Path(model))
    return of_base(model) if model in bases.SHIPPED else None


def _checkpoint(home: Home, entry: Entry, verify: bool) -> Path | None:
    """Return the path of a version's checkpoint.

    Return None if it must be looked up, downloaded or repaired, which needs MLflow.
    """
    if not entry.digest:
        return entry.checkpoint
    fetched = home.fetched / f"{entry.digest}.safetensors"
    path = fetched if fetched.is_file() else entry.checkpoint
    if path is None or (not verify and packed_path(home.packed, entry.digest).is_file()):
        return path
    return path if is_intact(path, entry.digest) else None


def _with_mlflow(home: Home, reference: str) -> Found:
    from flows import registry  # noqa: PLC0415 - imports MLflow, which takes seconds

    try:
        version = registry.resolve(home, reference)
    except RegistryError:
        if found := _outside(reference):
            return found
        raise
    checkpoint = registry.checkpoint_path(home, version)
    name, digest = f"{version.name}/{version.version}", version.checkpoint or None
    bits = version.test_bits_per_character
    second = is_second_choice(reference, version.name, version.alias)
    score = None if bits != bits else bits
    return Found(name, checkpoint, home.packed, digest, True, score, second)
