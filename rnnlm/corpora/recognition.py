"""Decide how each file is read, from its name and its beginning: its format, encoding and layout.

Settings that the configuration gives a value are kept. All others are decided here, and the reason
is recorded.
"""

import json
import re
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from rnnlm.config import Reader, SourceConfig
from rnnlm.corpora.columns import read_rows
from rnnlm.corpora.decoding import decode
from rnnlm.corpora.encodings import Encoding, detect
from rnnlm.corpora.fields import propose_text, text_paths
from rnnlm.corpora.formats import ASSIGNMENT, BEFORE_RECIPE, FORMATS, LONGEST_COLOR, color_line
from rnnlm.corpora.palettes import recognize_colors
from rnnlm.corpora.records import Fault, Fields
from rnnlm.corpora.tables import NO_DELIMITER, recognize_table, rows_of
from rnnlm.corpora.textual import recognize_layout
from rnnlm.errors import CorpusError

READERS: dict[str, Reader] = {
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
    ".mmf": "mealmaster",
}
"""Reader that `reader = "auto"` chooses by the suffix of a file's name. Files with another suffix
are first assumed to be plain text."""
RECIPE_READERS = ("mealmaster", "markdown")
"""Readers whose records are recipes."""
SAMPLE = 1 << 20
"""Bytes at the beginning of a file that decide how it is read."""
RECORDS = 200
"""Number of records from the beginning of a file that decide which field is the text."""
MOST_JSON = 64_000_000
"""Most bytes of a JSON file that are parsed to recognise its records. A part of a JSON file cannot
be parsed, and the whole file is read later anyway."""


class Recognized(NamedTuple):
    """How a file is read.

    Attributes:
        source: Configuration of how the file is read; `reader` and `documents` are not `auto`.
        encoding: Encoding of its text; None for Parquet and empty files.
        form: Form of its documents, as in `corpus.form`.
        reason: Why its documents are read this way, in a few words.
    """

    source: SourceConfig
    encoding: Encoding | None
    form: str
    reason: str


def recognize(path: Path, name: str, source: SourceConfig) -> Recognized:
    """Decide how an unpacked file is read.

    Args:
        path: Local path.
        name: Name of the file, whose suffix suggests the format. For an archive's member, it is
            the name in the archive.
        source: Configuration that applies to the file.

    Raises:
        CorpusError: The file cannot be read as text or Parquet, or no field is clearly the text.
    """
    reader = source.reader
    if reader == "auto":
        reader = READERS.get(PurePosixPath(name).suffix.lower(), "text")
    if reader == "parquet" or not path.stat().st_size:
        rows = read_rows(path, name, RECORDS) if path.stat().st_size else iter(())
        records = [*_first(rows)]
        return _of_records(source, reader, None, records)
    named = reader
    encoding = detect(path, source.encoding, is_recipes=named == "mealmaster")
    sample = _sample(path, encoding)
    if source.reader == "auto":
        reader = _reader_of(sample, reader)
        if reader == "text" and ASSIGNMENT.match(sample):
            reader = _reader_of_script(_sample(path, encoding, MOST_JSON))
    if reader in RECIPE_READERS:
        if reader == "mealmaster" != named:
            encoding = detect(path, source.encoding, is_recipes=True)
        changes = {} if "render" in source.model_fields_set else {"render": "recipe"}
        return _decided(source, reader, encoding, changes, "recipe", f"{reader} recipes")
    if reader == "csv":
        return _table(source, sample, encoding)
    if reader == "json" and path.stat().st_size > SAMPLE:
        sample = _sample(path, encoding, MOST_JSON)
    if reader not in ("text", "colors"):
        return _of_records(source, reader, encoding, [*_first(FORMATS[reader].parse(sample))])
    return _plain_text(source, sample, encoding)


def _decided(
    source: SourceConfig,
    reader: Reader,
    encoding: Encoding | None,
    changes: dict[str, Any],
    form: str,
    reason: str,
) -> Recognized:
    if source.documents != "auto":
        changes["documents"], reason = source.documents, "as set"
    elif "documents" not in changes:
        changes["documents"] = "whole"
    decided = source.model_copy(update={"reader": reader, **changes})
    return Recognized(decided, encoding, form, reason)


def _plain_text(source: SourceConfig, sample: str, encoding: Encoding) -> Recognized:
    if source.documents != "auto" or not sample.strip():
        return _decided(source, "text", encoding, {"documents": "lines"}, "text", "nothing in it")
    if source.separator:
        records = {"documents": "records"}
        return _decided(source, "text", encoding, records, "text", "records, by the separator")
    if found := _colors(sample):
        reader: Reader = "text" if found == "text" else "colors"
        changes = {"documents": "lines"} | ({} if found == "text" else {"render": "color"})
        return _decided(source, reader, encoding, changes, "color", "lines with a colour each")
    documents, separator, reason = recognize_layout(sample)
    changes = {"documents": documents, "separator": separator}
    return _decided(source, "text", encoding, changes, "text", reason)


def _colors(sample: str) -> str:
    """Return the reader for a text with a colour on each line, or an empty string for other texts.

    The reader is `text` if the lines already have the form `name R G B`, and `colors` otherwise.
    """
    lines = [line.strip() for line in sample.split("\n")[:2000] if line.strip()]
    plain = [line for line in lines if len(line) <= LONGEST_COLOR]
    if sum(bool(_PLAIN_COLOR.fullmatch(line)) for line in plain) >= 0.95 * len(lines) > 4:
        return "text"
    return (
        "colors"
        if sum(color_line(line) is not None for line in lines) >= 0.95 * len(lines) > 4
        else ""
    )


_CHANNEL = r"(?:25[0-5]|2[0-4]\d|1?\d?\d)"
_PLAIN_COLOR = re.compile(rf".*[^\W\d].* {_CHANNEL} {_CHANNEL} {_CHANNEL}")


def _reader_of(sample: str, reader: Reader) -> Reader:
    """Correct the reader that the name of a file suggests if the content shows another format.

    Args:
        sample: Beginning of the file.
        reader: Reader that the name suggests.
    """
    start = sample.lstrip()
    if reader == "text" and BEFORE_RECIPE.search(("\n" + sample[:100_000]).encode()):
        return "mealmaster"
    if reader == "json" and start[:1] == "{" and _are_objects(start):
        return "jsonl"
    if reader == "jsonl" and start[:1] == "[" and not _are_objects(start):
        return "json"
    return reader


def _reader_of_script(content: str) -> Reader:
    """Return the reader for a script, which may be data in the form of a program.

    It is `json` if the script only assigns a JSON list or object to a variable, and `text`
    otherwise.
    """
    match = ASSIGNMENT.match(content)
    return "json" if match and _parses(content[match.end() :]) else "text"


def _parses(text: str) -> bool:
    try:
        json.loads(text.rstrip().removesuffix(";"))
    except (ValueError, RecursionError):
        return False
    return True


def _are_objects(text: str) -> bool:
    """Return whether there are at least two lines, and each of the first three is a JSON value."""
    lines = [line for line in text.split("\n", 4)[:3] if line.strip()]
    return len(lines) > 1 and all(line.strip()[-1:] in '}]"' and _parses(line) for line in lines)


def _table(source: SourceConfig, sample: str, encoding: Encoding) -> Recognized:
    table = recognize_table(sample, source.delimiter, source.header)
    records = [*_first(rows_of(sample, table))]
    names_no_text = "render" not in source.model_fields_set and not table.has_header
    if names_no_text and table.delimiter != NO_DELIMITER and not source.delimiter:
        colored = recognize_colors(records)
        # If not exactly one column is prose, each line as a whole is a text.
        if colored is None and _prose_columns(records) != 1:
            table = table._replace(delimiter=NO_DELIMITER)
            records = [*_first(rows_of(sample, table))]
    found = _of_records(source, "csv", encoding, records)
    decided = {"delimiter": table.delimiter, "header": "yes" if table.has_header else "no"}
    kind = "rows" if table.has_header else "rows without a header"
    reason = found.reason.replace("records", kind)
    return found._replace(source=found.source.model_copy(update=decided), reason=reason)


def _prose_columns(records: Sequence[Fields]) -> int:
    values = text_paths(records)
    return sum(sum(map(len, column)) > 25 * len(column) for column in values.values())


def _of_records(
    source: SourceConfig, reader: Reader, encoding: Encoding | None, records: Sequence[Fields]
) -> Recognized:
    """Decide how records become text: as a colour, as a recipe, or from one of their fields."""
    changes: dict[str, Any] = {}
    if "render" in source.model_fields_set or not records:
        return _decided(source, reader, encoding, changes, "text", f"{reader} records")
    has_text = "text" in source.fields or any(isinstance(r.get("text"), str) for r in records)
    colored = recognize_colors(records)
    if colored and (not has_text or colored["hex"] == "text"):
        changes = {"render": "color", "fields": colored | source.fields}
        return _decided(source, reader, encoding, changes, "color", "records with a colour each")
    if has_text:
        return _decided(source, reader, encoding, changes, "text", "records, text in `text`")
    if named := _recipe_fields(records):
        changes = {"render": "recipe", "fields": named | source.fields}
        return _decided(source, reader, encoding, changes, "recipe", "records with a recipe each")
    path = propose_text(records)
    if path is None:
        found = [path for path in text_paths(records) if path]
        have = ", ".join(f"{{{path}}}" for path in found[:8]) or "none with text"
        raise CorpusError(
            f"{source.path}: no field is clearly the text (there are: {have}); name one with "
            f"--set corpus.render='{{{found[0] if found else 'text'}}}'"
        )
    changes = {"render": f"{{{path}}}"}
    return _decided(source, reader, encoding, changes, "text", f"records, text in `{path}`")


def _recipe_fields(records: Sequence[Fields]) -> dict[str, str]:
    """Find the fields of the records that contain the parts of a recipe.

    Returns:
        A mapping from the standard name of each part, such as `directions`, to its field, such as
        `steps`; empty if the records are not recipes.
    """
    found = {}
    for part, names in _RECIPE_FIELDS.items():
        for name in names:
            if sum(bool(record.get(name)) for record in records) >= 0.8 * len(records):
                found[part] = name
                break
        else:
            return {}
    category = "category" in records[0] and "categories" not in records[0]
    return found | ({"categories": "category"} if category else {})


_RECIPE_FIELDS = {
    "title": ("title", "name"),
    "ingredients": ("ingredients",),
    "directions": ("directions", "instructions", "steps", "method", "preparation"),
}


def _first(records: Iterator[Fields | Fault]) -> Iterator[Fields]:
    return islice((record for record in records if not isinstance(record, Fault)), RECORDS)


def _sample(path: Path, encoding: Encoding, size: int = SAMPLE) -> str:
    """Return the beginning of a file as text.

    It ends at a line end if there is one, and the encoding allows the file to be split at newlines.

    Args:
        path: Local path.
        encoding: Encoding of the file's text.
        size: Most bytes to read.
    """
    with path.open("rb") as file:
        head = file.read(size)
        is_all = not file.read(1)
    if is_all:
        return decode(head, encoding, str(path)).text
    if encoding.is_cuttable:
        end = head.rfind(b"\n") + 1 or head.rfind(b" ") + 1 or len(head)
        try:
            return decode(head[:end], encoding, str(path)).text
        except CorpusError:
            pass  # a byte does not fit the encoding
    return head.decode(encoding.codec, "ignore")
