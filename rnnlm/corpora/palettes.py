"""Recognise records with one colour each, and find the fields with its name and its code."""

import re
from collections.abc import Sequence
from typing import Any

from rnnlm.corpora.fields import text_paths, value_at
from rnnlm.corpora.records import Fields

SHARE = 0.95
"""Least share of the records that must have a name or code in a field for it to be recognised."""

_CODE = re.compile(r"#?[0-9a-f]{6}|#[0-9a-f]{3}|rgb\([\d\s,]+\)", re.IGNORECASE)
_CHANNELS = (("r", "g", "b"), ("red", "green", "blue"))
_NAMES = ("name", "title", "label", "color", "colour", "color_name", "colorname", "key")


def recognize_colors(records: Sequence[Fields]) -> dict[str, str] | None:
    """Return which fields are `name` and `hex`, or None if the records are not colours.

    If the three channels are separate fields, `hex` is their names joined by commas: `r,g,b`.
    """
    if len(records) < 5:
        return None
    strings = text_paths(records)
    full = {path: v for path, v in strings.items() if len(v) >= SHARE * len(records)}
    codes = [path for path, v in full.items() if _all(_CODE.fullmatch(c.strip()) for c in v)]
    codes = [path for path in codes if any("#" in v or re.search("[a-f]", v) for v in full[path])]
    code = codes[0] if codes else _channels(records)
    names = [
        path
        for path, values in full.items()
        if path not in codes and _all(re.search(r"[^\W\d]", value) for value in values)
    ]
    usual = [path for wanted in _NAMES for path in names if path.lower().split(".")[-1] == wanted]
    if not code or not (usual or len(names) == 1):
        return None
    return {"name": (usual or names)[0], "hex": code}


def _channels(records: Sequence[Fields]) -> str:
    """Return the fields of the three channels, the one field with all three, or an empty string."""
    keys = {str(key) for record in records[:20] for key in record}
    for prefix in ("", *(f"{key}." for key in sorted(keys))):
        for channels in _CHANNELS:
            for case in (str.lower, str.upper, str.capitalize):
                paths = [prefix + case(channel) for channel in channels]
                if _all(all(_is_channel(value_at(r, p)) for p in paths) for r in records):
                    return ",".join(paths)
    for key in sorted(keys):
        if _all(
            isinstance(v := record.get(key), list) and len(v) == 3 and all(map(_is_channel, v))
            for record in records
        ):
            return key
    return ""


def _is_channel(value: Any) -> bool:
    text = str(value).strip()
    return not isinstance(value, bool) and text.isdecimal() and int(text) <= 255


def _all(found: Any) -> bool:
    """Return whether at least `SHARE` of the values are true, and there are any."""
    values = [bool(value) for value in found]
    return bool(values) and sum(values) >= SHARE * len(values)
