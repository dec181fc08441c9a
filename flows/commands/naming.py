"""Names of models that are trained on a file or folder.

A model is named after its source. If a model of that name was trained on another source, the new
model gets a different name; the user can still choose the same name with `--set name=NAME`.
"""

import os
from dataclasses import replace
from pathlib import Path

from flows.chain.records import RECORD_FILE, read_step_record
from flows.runtime.home import Home
from rnnlm.autoconfig import Advice, Choice, model_name
from rnnlm.storage import value_digest


def distinct(home: Home, advice: Advice, source: str) -> Advice:
    """Return the advice with a model name that no model of another source has.

    Args:
        home: The home whose earlier corpora show which names are taken, and by which sources.
        advice: The settings chosen for `source`; its model name is that of the file or folder.
        source: Path of the training text.
    """
    name, place = advice.experiment.name, _place(source)
    known = _sources_of(home, name)
    if not known or any(place in places for places in known):
        return advice
    new = model_name(str(Path(place).parent.name)) + f"-{name}"
    if any(place not in places for places in _sources_of(home, new)):
        new = f"{name}-{value_digest(place)[:6]}"
    other = min(places[0] for places in known)
    why = f"{name} is a model of {other}; to train a version of it, --set name={name}"
    experiment = advice.experiment.model_copy(update={"name": new})
    return replace(
        advice, experiment=experiment, choices=(Choice("name", new, why), *advice.choices)
    )


def _sources_of(home: Home, name: str) -> list[tuple[str, ...]]:
    """Return the sources that the corpora of a model were read from, as absolute paths or URLs.

    A record may hold a path relative to the folder that the command ran in, which is not recorded;
    so each source has two possible paths, relative to the home and to the current directory.
    """
    found = []
    for path in (home.data / "corpora" / name).glob(f"*/{RECORD_FILE}"):
        record = read_step_record(path) or {"ingredients": {}}
        corpus = record["ingredients"].get("corpus")
        if not isinstance(corpus, dict):
            continue  # skip a damaged record
        folders = (home.root.resolve(), Path.cwd())
        if corpus.get("source"):
            found.append(tuple(_place(corpus["source"], folder) for folder in folders))
        elif paths := [s["path"] for s in corpus.get("sources", ()) if "://" not in s["path"]]:
            # a folder with one file per split
            common = (os.path.commonpath([_place(p, folder) for p in paths]) for folder in folders)
            found.append(tuple(common))
    return found


def _place(source: str, folder: Path | None = None) -> str:
    return source if "://" in source else str((folder or Path.cwd()).joinpath(source).resolve())
