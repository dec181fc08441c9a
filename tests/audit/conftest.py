"""Shared fixtures of the audit tests: references, the data that audits compare texts with."""

import random
from pathlib import Path

import pytest

from rnnlm.audit.reference import Reference, build_reference
from rnnlm.corpora.documents import iter_texts
from rnnlm.tokenizer import CharacterTokenizer
from tests.conftest import ingest_text, lines

TOKENIZER = CharacterTokenizer("abcdefghijklmnopqrstuvwxyz 0123456789.,\n")
_SYLLABLES = [a + b for a in "bdfgklmnprst" for b in "aeiou"]


def story(seed: int, words: int = 60) -> str:
    """Return made-up prose of a few sentences."""
    chance = random.Random(seed)
    made = ["".join(chance.choices(_SYLLABLES, k=chance.randint(1, 4))) for _ in range(words)]
    return " ".join(f"{word}." if n % 12 == 11 else word for n, word in enumerate(made))


def reference_of(text: str, form: str, folder: Path) -> tuple[Reference, str]:
    """Ingest lines as documents; return their reference, and the folder of the documents."""
    (folder / "corpus.txt").write_text(text)
    corpus = ingest_text(folder / "corpus.txt", folder / "documents", documents="lines")
    out = folder / "reference"
    return build_reference(corpus.uri, corpus.digest, form, TOKENIZER, out), corpus.uri


@pytest.fixture(scope="package")
def colors(tmp_path_factory: pytest.TempPathFactory) -> tuple[Reference, list[str]]:
    """The reference of a small corpus of colours, and the corpus's training texts."""
    reference, uri = reference_of(lines(64), "color", tmp_path_factory.mktemp("colors"))
    return reference, [*iter_texts(uri, "train")]


@pytest.fixture(scope="package")
def stories(tmp_path_factory: pytest.TempPathFactory) -> tuple[Reference, list[str]]:
    """The reference of a small corpus of prose, and the corpus's training texts."""
    text = "".join(story(seed) + "\n" for seed in range(60))
    reference, uri = reference_of(text, "prose", tmp_path_factory.mktemp("stories"))
    return reference, [*iter_texts(uri, "train")]
