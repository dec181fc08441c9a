"""Read the YAML front matter of Markdown files, within limits.

YAML can be a bomb: an alias repeats a part of the document, aliases of aliases multiply it, and
there is no limit on nesting. Front matter needs neither aliases nor deep nesting. All scalars are
read as strings, so that no number or date is one that Python cannot represent.
"""

import re
from typing import Any

LONGEST = 20_000
"""Most characters of a front matter."""
MOST_LEVELS = 10
"""Most levels of lists and mappings in a front matter."""

_FRONT = re.compile(r"---\n(.*?)\n---\n", re.DOTALL)


def split_front_matter(content: str) -> tuple[dict[str, Any] | None, str]:
    """Return the front matter of a Markdown file, and the text after it.

    Returns:
        The front matter, as a dictionary whose scalars are strings; and the text. The dictionary is
        empty if there is no front matter. It is None if the front matter is not a YAML mapping, is
        too long or too deep, or has aliases.
    """
    match = _FRONT.match(content)
    if not match:
        return {}, content
    return _read(match[1]), content[match.end() :]


def _read(front: str) -> dict[str, Any] | None:
    import yaml

    if len(front) > LONGEST:
        return None
    try:
        depth = 0
        for event in yaml.parse(front, yaml.BaseLoader):
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            if depth > MOST_LEVELS or isinstance(event, yaml.AliasEvent):
                return None
        values = yaml.load(front, yaml.BaseLoader)  # noqa: S506 - makes only strings, lists, dicts
    except (yaml.YAMLError, ValueError, RecursionError):
        return None
    return values if isinstance(values, dict) else None
