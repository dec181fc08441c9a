"""Write a project: a folder with a config, scheduled runs, and the models made in it.

Its config is either that of the demo, which needs no text, or what `rnnlm train` would choose for a
text. Files that are there already are left as they are.
"""

import json
import os
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows.commands.options import CONFIGS
from flows.runtime.home import PROJECT_FILE, Home
from rnnlm.autoconfig import advise, model_name
from rnnlm.errors import StorageError

DEMO = "colors-demo"


@dataclass(frozen=True)
class Project:
    """A project that was written.

    Attributes:
        folder: Its folder.
        written: Names of the files that were written.
        kept: Names of the files that were there already.
    """

    folder: Path
    written: tuple[str, ...]
    kept: tuple[str, ...]


def write(folder: Path, text: Path | None = None) -> Project:
    """Write the files of a project, each unless it exists.

    Args:
        folder: Folder of the project; it is created if it does not exist.
        text: Text to train on, a file or folder; None for the corpus of the demo.

    Raises:
        CorpusError: The text cannot be read, or is too short.
        StorageError: A file cannot be written.
    """
    folder = folder.resolve()
    name = model_name(text.name if text else folder.name or "project")
    config = _demo(name) if text is None else _chosen(folder, text, name)
    files = {
        PROJECT_FILE: config,
        "prefect.yaml": SCHEDULES.replace("NAME", name),
        ".gitignore": "data/\nmlruns/\n",
        "README.md": README.replace("NAME", name),
    }
    written, kept = [], []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file, content in files.items():
            try:
                with (folder / file).open("x", encoding="utf-8") as out:
                    out.write(content)
            except FileExistsError:
                kept.append(file)
            else:
                written.append(file)
    except OSError as error:
        raise StorageError(
            f"cannot write the project {folder}: {error.strerror or error}; choose another folder"
        ) from error
    return Project(folder, tuple(written), tuple(kept))


def _demo(name: str) -> str:
    return f'name = "{name}"\n\n{(CONFIGS / f"{DEMO}.toml").read_text("utf-8")}'


def _chosen(folder: Path, text: Path, name: str) -> str:
    """Return the config that `rnnlm train` would choose for a text, with a line for each reason."""
    cache = Home(folder).sources
    advice = advise(str(text), cache, (f"name={name}",))
    said = (f"{one.setting}: {one.value}, {' '.join(one.reason.split())}" for one in advice.choices)
    reasons = [
        textwrap.fill(one, 78, initial_indent="# ", subsequent_indent="#   ") for one in said
    ]
    place = text.resolve()
    inside = place.is_relative_to(folder)
    source = os.path.relpath(place, folder) if inside else str(place)
    values = advice.experiment.model_dump(exclude_defaults=True, mode="json")
    values["corpus"] = {**values.get("corpus", {}), "source": source}
    head = f"# Chosen for {place.name}; `rnnlm settings` explains every setting."
    return "\n".join([head, *reasons, "", *as_toml(values)]) + "\n"


def as_toml(values: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield the lines of a TOML file with these values; those that are None are left out."""
    tables = {key: value for key, value in values.items() if isinstance(value, Mapping)}
    for key, value in values.items():
        if value is not None and key not in tables:
            yield f"{key} = {_inline(value)}"
    for key, table in tables.items():
        yield ""
        yield f"[{prefix}{key}]"
        yield from as_toml(table, f"{prefix}{key}.")


def _inline(value: Any) -> str:
    if isinstance(value, Mapping):
        pairs = (f"{json.dumps(k)} = {_inline(v)}" for k, v in value.items() if v is not None)
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_inline, value)) + "]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


SCHEDULES = """\
# Scheduled runs. `rnnlm serve` applies this file at every start.
#
# A schedule is `cron` with a `timezone`, or `interval` in seconds; `active: false` switches it off.
# Paths are relative to this folder. An entrypoint is one of rnnlm_flows.retrain, .generate, .sweep
# and .housekeeping, or a flow of yours, as path.py:function.

name: NAME

# A run starts in this folder as the worker's machine has it.
pull:
  - rnnlm_flows.enter_project: {}

definitions:
  pool: &pool
    name: rnnlm
  # A run that is due while the previous one is still running waits for it.
  one_at_a_time: &one_at_a_time
    limit: 1
    collision_strategy: ENQUEUE

deployments:
  # Every night. Steps whose inputs are the same come from the cache.
  - name: retrain-nightly
    entrypoint: rnnlm_flows.retrain
    parameters: {config: rnnlm.toml, trigger: schedule}
    work_pool: *pool
    concurrency_limit: *one_at_a_time
    schedules:
      - {cron: "0 2 * * *", timezone: UTC}

  # Soon after the text has changed.
  - name: retrain-on-change
    entrypoint: rnnlm_flows.retrain
    parameters: {config: rnnlm.toml, trigger: data change}
    work_pool: *pool
    concurrency_limit: *one_at_a_time
    schedules:
      - {cron: "*/15 * * * *", timezone: UTC, active: false}

  # A data set every night, from the model that is champion then.
  - name: generate-nightly
    entrypoint: rnnlm_flows.generate
    parameters:
      model: NAME@champion
      changes: {count: 1000}
      anew_each_day: true
    work_pool: *pool
    concurrency_limit: *one_at_a_time
    schedules:
      - {cron: "0 4 * * *", timezone: UTC, active: false}

  # Lists what can be deleted; `apply: true` deletes it.
  - name: housekeeping
    entrypoint: rnnlm_flows.housekeeping
    parameters: {apply: false}
    work_pool: *pool
    concurrency_limit: *one_at_a_time
    schedules:
      - {cron: "0 6 * * 0", timezone: UTC}
"""

README = """\
# NAME

```sh
rnnlm train rnnlm.toml           # train, evaluate and register a version
rnnlm sample NAME                # print texts as they are drawn
rnnlm generate NAME --count 1000 # write a data set
rnnlm serve                      # run the schedules in prefect.yaml
rnnlm ui                         # open the pages with curves and versions
```

`rnnlm.toml` marks this folder as a project: commands in it and in its subfolders keep their models
and data in `data/` and `mlruns/` here.
"""
