"""The history of a training run: rows of metrics, stored as JSON lines next to its checkpoints."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator

from rnnlm.saved import read_lines
from rnnlm.storage import append_line, write_bytes

HISTORY_FILE = "history.jsonl"


def _with_step(row: dict[str, float]) -> dict[str, float]:
    if not {"step", "tokens"} <= row.keys():
        raise ValueError("no step and tokens")
    return row


_Row = Annotated[dict[str, int | float], AfterValidator(_with_step)]


class History:
    """The file of history in a run's folder; each row has at least `step` and `tokens`."""

    def __init__(self, folder: Path) -> None:
        """Store the path; no file is read or written yet."""
        self._path = folder / HISTORY_FILE

    def append(self, row: Mapping[str, float]) -> None:
        """Append a row of metrics to the file.

        Raises:
            StorageError: The disk is full.
        """
        append_line(self._path, json.dumps(row))

    def cut(self, step: int) -> None:
        """Delete the rows after a step, because the later steps will run again."""
        rows = [row for row in read_history(str(self._path.parent)) if row["step"] <= step]
        write_bytes(self._path, "".join(json.dumps(row) + "\n" for row in rows).encode())


def read_history(uri: str) -> list[dict[str, float]]:
    """Return the rows of metrics of a run, oldest first; an empty list if there are none.

    Each row maps names of metrics to values, and has at least `step` and `tokens`.

    Args:
        uri: Folder of the run.
    """
    return read_lines(Path(uri) / HISTORY_FILE, _Row)
