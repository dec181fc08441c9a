"""Compare the files of a home with the digests that were recorded when they were written."""

import json
import shutil
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from flows.chain import records
from flows.cleanup import step_folders
from flows.health.findings import Finding, problem
from flows.lookup.entries import read
from flows.runtime import backups
from flows.runtime.home import Home
from rnnlm.generation.job_folder import MANIFEST_FILE
from rnnlm.progress import OnProgress, Progress
from rnnlm.storage import atomic_path, is_intact


def steps(home: Home, tell: OnProgress) -> Iterator[Finding]:
    """Check all files of all finished steps.

    A damaged checkpoint is restored if there is an intact copy in the registry or in `data/models`.
    Otherwise the record of the step is removed, so that the next run does the step again.
    """
    folders = [folder for folder in step_folders.read(home) if folder.step]
    faults = 0
    for number, folder in enumerate(folders):
        tell(Progress(number, len(folders), "steps"))
        for name, digest in records.changed_files(folder.path).items():
            faults += 1
            what = f"{(folder.path / name).relative_to(home.root)} differs from its digest"
            repair = partial(_repair_step, home, folder.path, name, digest)
            yield problem("steps", what, repair)
    if not faults:
        yield Finding("steps", f"{len(folders)} finished, all files intact")


def versions(home: Home) -> Iterator[Finding]:
    """Check the checkpoint of every version in the registry of this home."""
    file = backups.database(home)
    if file is None or backups.fault_of(file):
        why = "damaged" if file else "on a server"
        yield Finding("versions", f"not checked: the registry is {why}")
        return
    registered = _registered(home)
    faults = 0
    for name, digest, place in registered:
        if place is None or not is_intact(place, digest):
            faults += 1
            said = f"the checkpoint of {name} is damaged or missing"
            twin = _twin(home, digest)
            if twin and place:
                yield problem("versions", said, partial(_copy, twin, place))
            else:
                yield problem("versions", f"{said}; train it again with `rnnlm train`")
    if not faults:
        yield Finding("versions", f"{len(registered)} registered, all checkpoints intact")


def data_sets(home: Home) -> Iterator[Finding]:
    """Check the shards of every finished data set in `data/generated/`."""
    count = faults = 0
    for path in sorted(home.data.glob(f"generated/*/*/{MANIFEST_FILE}")):
        count += 1
        if fault := _fault_of_data_set(path):
            faults += 1
            said = f"{path.parent.relative_to(home.root)}: {fault}"
            yield problem("data sets", said, partial(_forget_manifest, path))
    if not faults:
        yield Finding("data sets", f"{count} finished, all shards intact")


def _repair_step(home: Home, folder: Path, name: str, digest: str) -> str:
    twin = _twin(home, digest, folder / name)
    if twin is not None:
        return _copy(twin, folder / name)
    (folder / records.RECORD_FILE).unlink(missing_ok=True)
    return "the next run does this step again"


def _copy(source: Path, to: Path) -> str:
    with atomic_path(to) as temporary:
        shutil.copyfile(source, temporary)
    return "restored from an intact copy"


def _twin(home: Home, digest: str, but: Path | None = None) -> Path | None:
    """Return an intact copy of a checkpoint, from the registry or `data/models`, or None."""
    places = [path for _, known, path in _registered(home) if known == digest and path]
    places += sorted(home.data.glob("models/*/*/model.safetensors"))
    return next((path for path in places if path != but and is_intact(path, digest)), None)


def _registered(home: Home) -> list[tuple[str, str, Path | None]]:
    """Return the name, digest and path of the checkpoints in the registry of this home.

    The path is None if it is missing. The list is empty if the registry is on a server, damaged, or
    missing.
    """
    entries = read(home) if backups.database(home) else None
    found = entries.versions.items() if entries else ()
    return [
        (f"{name}/{number}", entry.digest, entry.checkpoint)
        for name, versions in found
        for number, entry in versions.items()
        if entry.digest
    ]


def _fault_of_data_set(path: Path) -> str | None:
    try:
        manifest: Mapping[str, list[Mapping[str, str]]] = json.loads(path.read_text("utf-8"))
        shards = {shard["file"]: shard["sha256"] for shard in manifest["shards"]}
    except (OSError, ValueError, KeyError, TypeError):
        return f"{path.name} cannot be read"
    changed = [name for name, digest in shards.items() if not is_intact(path.parent / name, digest)]
    return f"{changed[0]} differs from its digest" if changed else None


def _forget_manifest(path: Path) -> str:
    path.unlink()
    return "the same `rnnlm generate` command writes what is missing"
