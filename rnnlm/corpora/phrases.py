"""Lists of phrases, made of the passages of a text.

A model that has read nothing but prose does not know how a title, a name or the first word of a
line is written. A list of the phrases of a passage, each on a line of its own and in another case,
teaches that.
"""

import random
import re
import string
from collections.abc import Callable, Iterator

import pyarrow as pa

_ENDS = re.compile(r"""[][,.;:!?()"“”_*\n]+|--|—""")
"""What no phrase goes across."""
_LENGTHS = (1, 1, 2, 2, 3, 3, 4, 5, 6, 8)
"""Words of a phrase, each as likely as it stands here often."""
_CASES: tuple[Callable[[str], str], ...] = (
    str,
    str.lower,
    string.capwords,
    string.capwords,
    lambda phrase: phrase[:1].upper() + phrase[1:],
    lambda phrase: phrase[:1].upper() + phrase[1:],
)
"""How all phrases of a list are written, each as likely as it stands here often."""
_SHORTEST = 3


def list_phrases(text: str, seed: int) -> str:
    """Return the phrases of a passage in random order and one case, one a line.

    Args:
        text: The passage.
        seed: Decides where phrases end, their order and their case.
    """
    chance = random.Random(seed)
    case = chance.choice(_CASES)
    phrases = [case(p) for p in _phrases(text, chance) if len(p) >= _SHORTEST]
    chance.shuffle(phrases)
    return "\n".join(phrases)


def with_phrases(table: pa.Table, share: float) -> pa.Table:
    """Return a table of documents with lists of phrases after them.

    Args:
        table: As `rnnlm.corpora.documents` writes it.
        share: Of the training documents that a list is made of, by the hash in their ids.
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
    """Return where a hash lies between 0 and 1, by other bits than those that choose its split."""
    return (value & 0xFFFFFFFF) / 2.0**32


def _phrases(text: str, chance: random.Random) -> Iterator[str]:
    for part in _ENDS.split(text):
        words = part.strip(" '‘’-").split()
        start = 0
        while start < len(words):
            stop = start + chance.choice(_LENGTHS)
            yield " ".join(words[start:stop])
            start = stop
