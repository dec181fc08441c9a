"""Recognise data in which each record is a colour, and find the fields with its name and code."""

import re
from collections.abc import Sequence
from typing import Any

from rnnlm.corpora.fields import text_paths, value_at
from rnnlm.corpora.records import Fields

SHARE = 0.95
"""Least share of the records that must have a colour name in a field for it to be recognised as the
name, or a colour code for it to be recognised as the code."""

_CODE = re.compile(r"#?[0-9a-f]{6}|#[0-9a-f]{3}|rgb\([\d\s,]+\)", re.IGNORECASE)
_CHANNELS = (("r", "g", "b"), ("red", "green", "blue"))
_NAMES = ("name", "title", "label", "color", "colour", "color_name", "colorname", "key")


def recognize_colors(records: Sequence[Fields]) -> dict[str, str] | None:
    """Find the fields that contain the name and the code of a colour.

    Returns:
        The path of the field with the name as `name`, and of the field with the code as `hex`; None
        if the records are not colours. If red, green and blue are separate fields, `hex` is their
        paths joined by commas, such as `r,g,b`.
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
    """Find the fields with the red, green and blue values of colours, from 0 to 255.

    Returns:
        The paths of the three fields joined by commas; or the name of a field that is a list of the
        three values; or an empty string if there are no such fields.
    """
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
    text = "" if isinstance(value, bool | list | dict) else str(value).strip()
    return len(text) <= 3 and text.isdecimal() and int(text) <= 255


def _all(found: Any) -> bool:
    """Return whether there are any values, and at least `SHARE` of them are true."""
    values = [bool(value) for value in found]
    return bool(values) and sum(values) >= SHARE * len(values)
