"""Test that text which was held out once is never trained on later.

The text grows, shrinks and is reordered between trainings.
"""

import random
import textwrap
from pathlib import Path

import pytest

from rnnlm.autoconfig import advise
from rnnlm.corpora.documents import iter_texts
from rnnlm.corpora.files import locate
from rnnlm.corpora.ingestion import ingest
from rnnlm.corpora.splitting import SPLITS

WORDS = [
    "amber",
    "birch",
    "cedar",
    "dusk",
    "ember",
    "fern",
    "grove",
    "heath",
    "iris",
    "juniper",
    "kelp",
    "lark",
    "moss",
    "nettle",
]
EDITS = 1000


def paragraph(chance: random.Random) -> str:
    sentences = chance.randint(1, 5)
    return " ".join(
        " ".join(chance.choices(WORDS, k=chance.randint(4, 14))).capitalize() + "."
        for _ in range(sentences)
    )


def verse(chance: random.Random) -> str:
    return "\n".join(" ".join(chance.choices(WORDS, k=5)).capitalize() for _ in range(8))


def line(chance: random.Random) -> str:
    return " ".join(chance.choices(WORDS, k=9))


def wrapped(chance: random.Random) -> str:
    return textwrap.fill(paragraph(chance), 60)


KINDS = {
    "paragraphs": (paragraph, "\n\n"),
    "paragraphs on lines": (lambda chance: paragraph(chance) * 2, "\n"),
    "verse": (verse, "\n\n"),
    "lines": (line, "\n"),
    "wrapped": (wrapped, "\n\n"),
}


def read(path: Path, between: str, number: int) -> dict[str, set[str]]:
    """Read a file as `rnnlm train` does; return the units (paragraphs or lines) of each split.

    White space within a unit is reduced to single spaces.

    Args:
        path: The file.
        between: What separates units.
        number: Number of this reading, for a separate output folder.
    """
    cache, out = path.parent / "cache", path.parent / str(number)
    experiment = advise(str(path), cache, ("training.base=none",)).experiment
    corpus = ingest(locate(experiment.corpus, cache), experiment.corpus, experiment.splits, out)
    return {
        split: {
            " ".join(unit.split())
            for text in iter_texts(corpus.uri, split)
            for unit in text.split(between)
            if unit
        }
        for split in SPLITS
    }


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_held_out_text_is_never_trained_on(tmp_path: Path, kind: str):
    """Read a text after each batch of random edits.

    Its sizes are such that the choice of how to read it once depended on them.
    """
    make, between = KINDS[kind]
    chance = random.Random(kind)
    units = [make(chance) for _ in range(120)]
    held_out: set[str] = set()
    for number, size in enumerate((120, 150, 700, 3000, 2500, 200)):
        for _ in range(EDITS // 6):
            match chance.randrange(4):
                case 0:
                    units.insert(chance.randrange(len(units) + 1), make(chance))
                case 1:
                    del units[chance.randrange(len(units))]
                case 2:
                    units[chance.randrange(len(units))] = make(chance)
                case _:
                    other = units.pop(chance.randrange(len(units)))
                    units.insert(chance.randrange(len(units) + 1), other)
        units += [make(chance) for _ in range(size - len(units))]
        del units[size:]
        path = tmp_path / "text.txt"
        path.write_text(between.join(units) + "\n")
        splits = read(path, between, number)
        now = splits["validation"] | splits["test"]
        assert not splits["train"] & (held_out | now)
        assert splits["train"] | now >= {" ".join(unit.split()) for unit in units}
        assert 0.1 < len(now) / len(units) < 0.35
        held_out |= now
