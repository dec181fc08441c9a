"""Turn the sources of a configuration into local files.

Directories and globs are expanded, and addresses are downloaded. `rnnlm.corpora.unpacking` unpacks
compressed files and archives. The code that cuts files into byte ranges therefore sees only
unpacked files.
"""

import glob
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from rnnlm.config import CorpusConfig, ReadingConfig, SourceConfig, shorten
from rnnlm.corpora.catalog import catalog
from rnnlm.corpora.encodings import Encoding
from rnnlm.corpora.fetching import fetch
from rnnlm.errors import ConfigError, CorpusError, DamagedFileError
from rnnlm.progress import OnProgress, silent
from rnnlm.saved import read_json
from rnnlm.spelling import did_you_mean
from rnnlm.storage import file_digest, value_digest, write_json

_LONG = 16_000_000
_Digests = dict[str, tuple[int, int, str]]  # size, modification time and sha256 by path


@dataclass(frozen=True)
class SourceFile:
    """A local file and how it is read.

    Attributes:
        name: Name to show to the user.
        path: Local path.
        source: Configuration of how the file is read. Once the file has been unpacked and
            recognised, `reader` and `documents` are no longer `auto`.
        size: Size in bytes when the file was found.
        modified: Modification time in nanoseconds when the file was found.
        encoding: Encoding of its text; None for Parquet and empty files, and before recognition.
        form: Form of its documents, as in `corpus.form`.
        reason: Why its documents are read this way, in a few words.
    """

    name: str
    path: Path
    source: SourceConfig
    size: int
    modified: int
    encoding: Encoding | None = None
    form: str = "text"
    reason: str = ""

    @classmethod
    def of(cls, path: Path, source: SourceConfig, name: str = "") -> "SourceFile":
        """Return a description of a file with its current size and modification time.

        Raises:
            CorpusError: The file cannot be read.
        """
        try:
            str(path).encode()
            status = path.stat()
        except OSError as error:
            raise CorpusError(f"cannot read {shorten(str(path))}: {error.strerror}") from error
        except UnicodeEncodeError as error:
            raise CorpusError(
                f"the name {shorten(str(path), 80)} is not UTF-8; rename the file"
            ) from error
        return cls(name or str(path), path, source, status.st_size, status.st_mtime_ns)

    def check_unchanged(self) -> None:
        """Check that the file has not changed since it was found.

        Raises:
            CorpusError: The file was changed or removed.
        """
        now = SourceFile.of(self.path, self.source, self.name)
        if (now.size, now.modified) != (self.size, self.modified):
            raise CorpusError(
                f"{self.name} changed while it was read ({self.size:,} bytes, now {now.size:,}); "
                "run the same command again when nothing writes to it"
            )


def locate(
    config: CorpusConfig, cache: Path, on_progress: OnProgress = silent
) -> tuple[SourceFile, ...]:
    """Return the files of a corpus, still packed; fetch those that are not on this machine.

    Args:
        config: Configuration of the corpus.
        cache: Folder for fetched files.
        on_progress: Called while the files of a catalog corpus are fetched, with the number of
            bytes that are available so far.

    Raises:
        ConfigError: A source lacks an attribute that `corpus.condition` names.
        CorpusError: A source is missing or has no files, or all files are empty.
        FetchError: A file of a catalog corpus cannot be fetched.
    """
    entry = catalog().get(config.source)
    if entry and not Path(config.source).exists():
        sources = [_as_set(source, config) for source in fetch(entry, cache, on_progress)]
        _check_condition(sources, config, entry.name)
        return tuple(SourceFile.of(Path(source.path), source) for source in sources)
    _check_condition(config.all_sources, config)
    found = [file for source in config.all_sources for file in _expand(source, cache)]
    if not any(file.size for file in found):
        first, *others = [source.path for source in config.all_sources]
        more = f" and {len(others)} more" if others else ""
        raise CorpusError(f"{first}{more} is empty (0 bytes; expected text)")
    return tuple(found)


def digest(files: Sequence[SourceFile], cache: Path, reread: bool = False) -> str:
    """Return one sha256 for the contents of all files, in order.

    Digests of long files are kept in `cache/digests.json` and reused as long as neither the size
    nor the modification time of the file changes.

    Args:
        files: The files.
        cache: Folder of `digests.json`.
        reread: Whether to read long files even if `digests.json` has their digests.
    """
    path = cache / "digests.json"
    try:
        known: dict[str, tuple[int, int, str]] = read_json(path, _Digests, "")
    except DamagedFileError:
        known = {}
    before, combined = dict(known), hashlib.sha256()
    for file in files:
        place, seen = str(file.path.resolve()), (file.size, file.modified)
        if not reread and known.get(place, ())[:2] == seen:
            content = known[place][2]
        else:
            content = file_digest(file.path)
            if file.size >= _LONG:
                known[place] = (*seen, content)
        combined.update(f"{file.path.name}\0{content}\0".encode())
    if known != before:
        write_json(path, known)
    return combined.hexdigest()


def _as_set(source: SourceConfig, config: CorpusConfig) -> SourceConfig:
    """Return a catalog source with the settings of `config` that are not the default applied."""
    changes = config.model_dump(include={*ReadingConfig.model_fields}, exclude_defaults=True)
    if "fields" in changes:
        changes["fields"] = source.fields | changes["fields"]
    return source.model_copy(update=changes)


def _check_condition(
    sources: Sequence[SourceConfig], config: CorpusConfig, of_catalog: str = ""
) -> None:
    for source in sources:
        for name in config.condition:
            if name not in source.attributes:
                have = ", ".join(source.attributes) or "none"
                raise ConfigError(
                    f"corpus.condition names {name!r}, which is not an attribute of "
                    f"{of_catalog or shorten(source.path, 80)} (there are: {have}); "
                    "add it to corpus.attributes"
                )


def _expand(source: SourceConfig, cache: Path) -> Iterator[SourceFile]:
    if "://" in source.path:
        yield from (SourceFile.of(path, source, name) for name, path in _download(source, cache))
        return
    path = Path(source.path)
    if _is_there(path) and not path.is_dir():
        yield SourceFile.of(path, source)
        return
    if path.is_dir():
        found = (p for p in path.rglob("*") if p.is_file())
        paths = sorted(p for p in found if not is_hidden(PurePosixPath(p.relative_to(path))))
    else:
        paths = sorted(Path(name) for name in glob.glob(source.path, recursive=True))  # noqa: PTH207
        paths = [p for p in paths if p.is_file()]
    if not paths:
        raise CorpusError(_nothing_at(source.path))
    yield from (SourceFile.of(p, source) for p in paths)


def _is_there(path: Path) -> bool:
    try:
        path.stat()
    except FileNotFoundError:
        return False
    except (OSError, ValueError) as error:  # ValueError: there is a NUL in the path
        why = error.strerror if isinstance(error, OSError) else error
        raise CorpusError(f"cannot read {shorten(str(path))}: {why}; check the path") from error
    return True


def _nothing_at(path: str) -> str:
    if Path(path).is_dir():
        return f"{path} is a directory without files (expected text files); name another"
    folder = Path(path).parent
    near = [str(folder / name.name) for name in folder.iterdir()] if folder.is_dir() else []
    hint = did_you_mean(path, [*catalog(), *near]) or f"the catalog has: {', '.join(catalog())}"
    return f"no file {path} and no corpus of that name ({hint}); check the path"


def is_hidden(path: PurePosixPath) -> bool:
    """Return whether a path is hidden, or metadata that macOS adds to archives."""
    return any(part.startswith((".", "__MACOSX")) for part in path.parts)


def _download(source: SourceConfig, cache: Path) -> Iterator[tuple[str, Path]]:
    """Download the files at an address; yield the name and the local path of each.

    A local copy from an earlier download is reused if it is still up to date.
    """
    import fsspec

    options = {"cache_storage": str(cache / "addresses"), "check_files": True}
    try:
        opened = fsspec.open_files(f"filecache::{source.path}", mode="rb", filecache=options)
        for file in sorted(opened, key=lambda file: str(file.path)):
            with file as handle:
                local = Path(handle.name)
            kept = local.with_name(f"{value_digest(file.path)[:8]}-{PurePosixPath(file.path).name}")
            kept.unlink(missing_ok=True)
            kept.hardlink_to(local)
            yield PurePosixPath(file.path).name, kept
    except (OSError, ValueError, ImportError) as error:
        reason = str(error).split("\n")[0] or type(error).__name__
        raise CorpusError(f"cannot read {shorten(source.path, 80)}: {reason}") from error
