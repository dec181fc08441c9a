"""Turn the sources of a configuration into local, unpacked files.

Directories and globs are expanded, addresses are downloaded, and compressed files and archives are
unpacked. The code that cuts files into byte ranges therefore sees only unpacked files.
"""

import glob
import hashlib
import json
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa

from rnnlm.config import CorpusConfig, ReadingConfig, SourceConfig, shorten
from rnnlm.corpora.catalog import catalog
from rnnlm.corpora.encodings import Encoding
from rnnlm.corpora.fetching import fetch
from rnnlm.corpora.recognition import recognize
from rnnlm.errors import ConfigError, CorpusError
from rnnlm.progress import OnProgress, silent
from rnnlm.spelling import did_you_mean
from rnnlm.storage import atomic_path, file_digest, value_digest, write_json

_COMPRESSED = {".gz", ".zst", ".bz2", ".lz4"}
_BLOCK = 1 << 20
_LONG = 16_000_000
_UNPACK_ERRORS = (EOFError, OSError, zlib.error, zipfile.BadZipFile, RuntimeError)


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
            status = path.stat()
        except OSError as error:
            raise CorpusError(f"cannot read {shorten(str(path))}: {error.strerror}") from error
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


def digest(files: Sequence[SourceFile], cache: Path) -> str:
    """Return one sha256 for the contents of all files, in order.

    Digests of long files are kept in `cache/digests.json` and reused as long as neither the size
    nor the modification time of the file changes.
    """
    path = cache / "digests.json"
    try:
        known: dict[str, list[Any]] = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        known = {}
    before, combined = dict(known), hashlib.sha256()
    for file in files:
        place, seen = str(file.path.resolve()), [file.size, file.modified]
        if known.get(place, [])[:2] == seen:
            content = known[place][2]
        else:
            content = file_digest(file.path)
            if file.size >= _LONG:
                known[place] = [*seen, content]
        combined.update(f"{file.path.name}\0{content}\0".encode())
    if known != before:
        write_json(path, known)
    return combined.hexdigest()


def unpack(files: Sequence[SourceFile], scratch: Path) -> Iterator[SourceFile]:
    """Unpack files into the folder `scratch`, and decide how each is read.

    Yields a `SourceFile` for each file that is not packed or compressed, and for each member of an
    archive. A file that is already in `scratch` is not unpacked again.

    Raises:
        CorpusError: A file is not text, or an archive is cut short, broken, or contains a path
            outside itself.
        StorageError: `scratch` cannot be written.
    """
    for file in files:
        suffix = file.path.suffix.lower()
        if suffix == ".zip":
            yield from _unzip(file, scratch)
        elif suffix in _COMPRESSED:
            yield _decompress(file, scratch)
        else:
            yield _recognized(file, file.path.name)


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
        paths = sorted(p for p in found if not _is_hidden(p.relative_to(path)))
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
    except OSError as error:
        raise CorpusError(f"cannot read {shorten(str(path))}: {error.strerror}") from error
    return True


def _nothing_at(path: str) -> str:
    if Path(path).is_dir():
        return f"{path} is a directory without files (expected text files); name another"
    folder = Path(path).parent
    near = [str(folder / name.name) for name in folder.iterdir()] if folder.is_dir() else []
    hint = did_you_mean(path, [*catalog(), *near]) or f"the catalog has: {', '.join(catalog())}"
    return f"no file {path} and no corpus of that name ({hint}); check the path"


def _is_hidden(path: Path) -> bool:
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


def _recognized(file: SourceFile, name: str) -> SourceFile:
    """Return an unpacked file with its encoding, its form and the settings to read it with."""
    file.check_unchanged()
    source, encoding, form, reason = recognize(file.path, name, file.source)
    return replace(file, source=source, encoding=encoding, form=form, reason=reason)


def _decompress(file: SourceFile, scratch: Path) -> SourceFile:
    name = file.path.name.removesuffix(file.path.suffix)
    target = scratch / value_digest(str(file.path))[:8] / name
    if not target.is_file():
        with pa.input_stream(str(file.path), compression="detect") as packed:
            _copy(packed.read, target, file)
    return _recognized(SourceFile.of(target, file.source, file.name), name)


def _unzip(file: SourceFile, scratch: Path) -> Iterator[SourceFile]:
    folder = scratch / value_digest(str(file.path))[:8]
    try:
        archive = zipfile.ZipFile(file.path)
    except (zipfile.BadZipFile, OSError) as error:
        raise _broken(file, error) from error
    with archive:
        members = sorted(
            (m for m in archive.infolist() if not m.is_dir()), key=lambda member: member.filename
        )
        for member in members:
            inside = PurePosixPath(member.filename.replace("\\", "/"))
            if inside.is_absolute() or ".." in inside.parts or ":" in inside.parts[0]:
                raise CorpusError(
                    f"{file.name} holds a file named {shorten(member.filename)}, which lies "
                    "outside the archive; nothing was unpacked from it; create the archive again"
                )
        for member in members:
            if _is_hidden(Path(member.filename)):
                continue
            target = folder / member.filename
            if not target.is_file():
                try:
                    packed = archive.open(member)
                except _UNPACK_ERRORS as error:  # encrypted, or an unknown compression method
                    raise _broken(file, error) from error
                with packed:
                    _copy(packed.read, target, file)
            name = f"{file.name}:{member.filename}"
            yield _recognized(SourceFile.of(target, file.source, name), member.filename)


def _copy(read: Callable[[int], bytes], target: Path, file: SourceFile) -> None:
    """Copy the unpacked contents of a file to `target`, block by block.

    Args:
        read: Returns the next block, of at most as many bytes as its argument.
        target: Path to write to.
        file: The packed file, which the error names if `read` fails.

    Raises:
        CorpusError: The packed file is cut short or broken.
    """
    with atomic_path(target) as temporary, temporary.open("wb") as out:
        while True:
            try:
                block = read(_BLOCK)
            except _UNPACK_ERRORS as error:
                raise _broken(file, error) from error
            if not block:
                return
            out.write(block)


def _broken(file: SourceFile, error: BaseException) -> CorpusError:
    return CorpusError(f"{file.name} is cut short or broken ({error}); get the file again")
