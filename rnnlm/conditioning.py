"""Conditioning by attribute: what a text is told before it begins.

A document's model text is what it is told, then its text: the value of each attribute in
`corpus.condition`, white space squeezed, a tab behind each. With the condition (brand) a colour is
`behr⇥Warm Sand 179 154 124`, with (category, season) a recipe begins with `Soups⇥June⇥`. An empty
value means unknown.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

MARK = "\t"
"""Stands behind each value; no squeezed value holds it."""


def told(values: Mapping[str, str], condition: Sequence[str]) -> str:
    """Return what stands before a text; nothing if the condition is empty.

    Args:
        values: Attributes by name; others than those of the condition make no difference, one that
            is missing is empty.
        condition: Names of attributes, in the order that they are told.
    """
    return "".join(_marked(values.get(name, "")) for name in condition)


def split_told(text: str, condition: Sequence[str]) -> tuple[dict[str, str], str]:
    """Return what a model's text was told, and the text itself: the inverse of `told(…) + text`.

    Values are read from the front, each up to its tab. Where no tab is left, as in a text that was
    cut short, what remains is text, and the attributes not reached are empty.
    """
    parts = text.split(MARK, len(condition))
    values = dict.fromkeys(condition, "") | dict(zip(condition, parts[:-1], strict=False))
    return values, parts[-1]


def told_column(values: Mapping[str, pa.Array], condition: Sequence[str]) -> pa.Array:
    """Return what stands before each of many texts, as `told` does for one.

    Args:
        values: A column of strings for each attribute of a condition that is not empty; a null is
            an empty value.
        condition: Names of attributes, in the order that they are told.
    """
    columns = []
    for name in condition:
        coded = values[name].dictionary_encode(null_encoding="encode")
        marked = [_marked(value or "") for value in coded.dictionary.to_pylist()]
        columns.append(pa.array(marked, pa.large_string()).take(coded.indices))
    return pc.binary_join_element_wise(*columns, pa.scalar("", pa.large_string()))


def split_column(texts: pa.Array, condition: Sequence[str]) -> tuple[dict[str, pa.Array], pa.Array]:
    """Return what each of many texts was told, and the texts, as `split_told` does for one.

    Args:
        texts: Strings or large strings without nulls; the results are of the same type.
        condition: Names of attributes, in the order that they are told.
    """
    if not condition:
        return {}, texts
    parts = pc.split_pattern(texts, MARK, max_splits=len(condition))
    lengths = pc.list_value_length(parts).to_numpy().astype(np.int64)
    ends = np.cumsum(lengths)
    flat = parts.flatten()
    values = {}
    for place, name in enumerate(condition):
        where = pa.array(ends - lengths + place, mask=place >= lengths - 1)
        values[name] = pc.fill_null(flat.take(where), "")
    return values, flat.take(pa.array(ends - 1))


def _marked(value: str) -> str:
    return " ".join(value.split()) + MARK
