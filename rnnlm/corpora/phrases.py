"""Additional training documents that list the phrases of a passage.

A model trained on nothing but prose does not learn how a title, a name or the first word of a line
is written. It learns this from lists of the phrases of a passage, with one phrase per line, in
lower case, with capitals, or as in the passage.
"""

import random
import re
import string
from collections.abc import Callable, Iterator

import pyarrow as pa

_ENDS = re.compile(r"""[][,.;:!?()"“”_*\n]+|--|—""")
"""Matches punctuation and line ends, at which phrases end."""
_LENGTHS = (1, 1, 2, 2, 3, 3, 4, 5, 6, 8)
"""Lengths of a phrase in words. One is drawn uniformly for each phrase, so values that are repeated
here are more likely."""
_CASES: tuple[Callable[[str], str], ...] = (
    str,
    str.lower,
    string.capwords,
    string.capwords,
    lambda phrase: phrase[:1].upper() + phrase[1:],
    lambda phrase: phrase[:1].upper() + phrase[1:],
)
"""Functions that change the case of a phrase. One is drawn uniformly for a whole list of phrases,
so functions that are repeated here are more likely."""
_SHORTEST = 3


def list_phrases(text: str, seed: int) -> str:
    """Return the phrases of a passage in random order, one per line, all in the same case.

    Args:
        text: The passage.
        seed: Seed of the random generator that decides where phrases end, their order and case.
    """
    chance = random.Random(seed)
    case = chance.choice(_CASES)
    phrases = [case(p) for p in _phrases(text, chance) if len(p) >= _SHORTEST]
    chance.shuffle(phrases)
    return "\n".join(phrases)


def with_phrases(table: pa.Table, share: float) -> pa.Table:
    """Return a table of documents with lists of phrases appended.

    Args:
        table: Documents, with the schema of `rnnlm.corpora.documents`.
        share: Share of the training documents for which a list is appended as another document.
            The hash in a document's id decides whether it is one of them.
    """
    if not share:
        return table
    of_training = table.filter(pa.compute.equal(table["split"], "train"))
    hashes = [int(name[:16], 16) for name in of_training["document_id"].to_pylist()]
    chosen = of_training.take(
        pa.array([n for n, value in enumerate(hashes) if _share(value) < share], pa.int64())
    )
    rows = chosen.to_pylist()
    for row in rows:
        row["text"] = list_phrases(row["text"], int(row["document_id"][:16], 16))
        row["document_id"] += "-phrases"
        row["characters"], row["bytes"] = len(row["text"]), len(row["text"].encode())
    rows = [row for row in rows if row["text"]]
    return pa.concat_tables([table, pa.Table.from_pylist(rows, schema=table.schema)])


def _share(value: int) -> float:
    """Return the low 32 bits of a hash as a number from 0 to 1.

    The high bits are not used, because they decide which split a document belongs to.
    """
    return (value & 0xFFFFFFFF) / 2.0**32


def _phrases(text: str, chance: random.Random) -> Iterator[str]:
    for part in _ENDS.split(text):
        words = part.strip(" '‘’-").split()
        start = 0
        while start < len(words):
            stop = start + chance.choice(_LENGTHS)
            yield " ".join(words[start:stop])
            start = stop
