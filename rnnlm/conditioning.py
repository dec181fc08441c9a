"""Conditioning on attributes: a text's header, which holds its attribute values.

A model reads a document as its header, followed by its text. The header is the value of each
attribute in `corpus.condition`, with a tab after each value. White space within a value is reduced
to single spaces. With the condition (brand) a colour is `behr⇥Warm Sand 179 154 124`; with
(category, season) a recipe begins with `Soups⇥June⇥`. An empty value means unknown.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rnnlm import arrow
from rnnlm.errors import CorpusError
from rnnlm.tokens import every

if TYPE_CHECKING:
    from rnnlm.corpora.splitting import Split

MARK = "\t"
"""The tab that follows each value. Values do not contain it, since their white space is reduced to
single spaces."""


def header(values: Mapping[str, str], condition: Sequence[str]) -> str:
    """Return the header of a text; an empty string if the condition is empty.

    Args:
        values: Attribute values by name; a missing one is empty, and attributes that are not in the
            condition are ignored.
        condition: Names of the attributes, in the order in which they appear in the header.
    """
    return "".join(_marked(values.get(name, "")) for name in condition)


def split_header(text: str, condition: Sequence[str]) -> tuple[dict[str, str], str]:
    """Split a model's text into attribute values and text: the inverse of `header(…) + text`.

    Values are read from the front, each up to its tab. If no tab is left, as in a text that was cut
    short, the rest is text, and the remaining attributes are empty.
    """
    parts = text.split(MARK, len(condition))
    values = dict.fromkeys(condition, "") | dict(zip(condition, parts[:-1], strict=False))
    return values, parts[-1]


def header_column(values: Mapping[str, pa.Array], condition: Sequence[str]) -> pa.Array:
    """Return the headers of many texts, as `header` does for one.

    Args:
        values: A column of strings for each attribute of the condition; a null is an empty value.
        condition: Names of the attributes, in the order in which they appear in the header; at
            least one.
    """
    columns = []
    for name in condition:
        coded = values[name].dictionary_encode(null_encoding="encode")
        marked = [_marked(value or "") for value in coded.dictionary.to_pylist()]
        columns.append(pa.array(marked, pa.large_string()).take(coded.indices))
    return pc.binary_join_element_wise(*columns, pa.scalar("", pa.large_string()))


def split_column(texts: pa.Array, condition: Sequence[str]) -> tuple[dict[str, pa.Array], pa.Array]:
    """Split many texts into attribute values and texts, as `split_header` does for one.

    Args:
        texts: Strings or large strings without nulls; the results are of the same type.
        condition: Names of the attributes, in the order in which they appear in the header.
    """
    if not condition:
        return {}, texts
    parts = pc.split_pattern(texts, MARK, max_splits=len(condition))
    lengths = arrow.numbers(pc.list_value_length(parts)).astype(np.int64)
    ends = np.cumsum(lengths)
    flat = parts.flatten()
    values = {}
    for place, name in enumerate(condition):
        where = pa.array(ends - lengths + place, mask=place >= lengths - 1)
        values[name] = pc.fill_null(flat.take(where), "")
    return values, flat.take(pa.array(ends - 1))


def iter_with_headers(
    uri: str, split: Split, condition: Sequence[str], most: int | None = None
) -> Iterator[str]:
    """Yield the texts of a split as a model sees them: the header first, then the document.

    Args:
        uri: Folder that `ingest` wrote.
        split: The split to read.
        condition: Attributes in the header; if there are none, the texts are the documents alone.
        most: Approximate limit on the bytes of text to yield; None for all. From a larger split,
            batches of consecutive documents, spread evenly over the split, are taken.

    Raises:
        CorpusError: `uri` holds no documents, or one lacks an attribute of the condition.
    """
    from rnnlm.corpora.documents import (  # noqa: PLC0415 - slow to import, and not needed to sample
        iter_batches,
        shards,
        text_bytes,
    )

    found = shards(uri)
    share = most / max(1, text_bytes(found, split)) if most else 1.0
    number = 0
    for shard in found:
        for _, batch in iter_batches(shard, (split,), attributes=bool(condition)):
            if every(share, number, 1)[0]:
                yield from with_headers(batch, condition)["text"].to_pylist()
            number += 1


def with_headers(batch: pa.RecordBatch, condition: Sequence[str]) -> pa.RecordBatch:
    """Return documents with their headers in front; characters and bytes include the header.

    Raises:
        CorpusError: A document lacks an attribute of the condition.
    """
    if not condition:
        return batch
    values = {name: pc.map_lookup(batch["attributes"], name, "first") for name in condition}
    for name, column in values.items():
        if column.null_count:
            lacking = batch["document_id"][column.is_null().index(True).as_py()]
            raise CorpusError(
                f"the document {lacking} has no attribute {name!r}, which corpus.condition names; "
                "name it in corpus.attributes too, and run `rnnlm train` again"
            )
    empty = pa.scalar("", pa.large_string())
    texts = pc.binary_join_element_wise(header_column(values, condition), batch["text"], empty)
    columns = {
        "document_id": batch["document_id"],
        "text": texts,
        "characters": pc.utf8_length(texts),
        "bytes": pc.binary_length(texts),
    }
    return pa.RecordBatch.from_pydict(columns)


def _marked(value: str) -> str:
    return " ".join(value.split()) + MARK
