"""Names of models trained on a path: two sources never become one model unless asked to."""

import json
import os
from dataclasses import replace
from pathlib import Path

from flows.chain.records import RECORD_FILE
from flows.runtime.home import Home
from rnnlm.autoconfig import Advice, Choice, model_name
from rnnlm.storage import value_digest


def distinct(home: Home, advice: Advice, source: str) -> Advice:
    """Return the advice under a name that no other source's model has.

    Args:
        home: Where earlier corpora are.
        advice: Advice for `source`, named after its file.
        source: A path.
    """
    name, place = advice.experiment.name, _place(source)
    others = _sources_of(home, name) - {place}
    if not others or place in _sources_of(home, name):
        return advice
    new = model_name(str(Path(place).parent.name)) + f"-{name}"
    if _sources_of(home, new) - {place}:
        new = f"{name}-{value_digest(place)[:6]}"
    why = f"{name} is a model of {sorted(others)[0]}; to train a version of it, --set name={name}"
    experiment = advice.experiment.model_copy(update={"name": new})
    return replace(
        advice, experiment=experiment, choices=(Choice("name", new, why), *advice.choices)
    )


def _sources_of(home: Home, name: str) -> set[str]:
    """Return the sources that a model's corpora were read from; paths are absolute."""
    found = set()
    for path in (home.data / "corpora" / name).glob(f"*/{RECORD_FILE}"):
        try:
            corpus = json.loads(path.read_text("utf-8"))["ingredients"]["corpus"]
        except (OSError, ValueError, KeyError):
            continue  # skip a damaged record
        if corpus.get("source"):
            found.add(_place(corpus["source"]))
        elif paths := [s["path"] for s in corpus.get("sources", ()) if "://" not in s["path"]]:
            found.add(os.path.commonpath(map(_place, paths)))  # a folder with files of each split
    return found


def _place(source: str) -> str:
    return source if "://" in source else str(Path(source).resolve())
