"""Test byte pairs against a slow reference and against `tokenizers` reading the saved file.

The slow reference learns and applies merges as in Sennrich et al. 2016, figure 1: it counts all
pairs again for each merge, in plain Python, and cuts words with Python's own regular expressions.
"""

import json
import re
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from tokenizers import Tokenizer as Library

from rnnlm import checkpoint
from rnnlm.models import build
from rnnlm.tokenizer import BPETokenizer
from tests.conftest import tiny_experiment

Word = tuple[bytes, ...]
TEXTS = [
    "It was a dark and stormy night; the rain didn't stop. \n\nIt fell  in torrents -- été.",
    "Except at occasional intervals, when it was checked by a violent gust of wind (1830).",
    "the the then thaw that this\tthus; in int into inn winning wind winding",
] * 3
WORDS = re.compile(
    r" ?[0-9A-Za-z_\u0080-\U0010FFFF]+(?:'[0-9A-Za-z_\u0080-\U0010FFFF]+)*"
    r"| ?[!-/:-@\[-^`{-~]+| +(?= [!-~\u0080-\U0010FFFF])| +|[\x00-\x1f\x7f]"
)
any_text = st.text() | st.text("the wind's \n.,é\t-<>0")


def words_of(text: str) -> list[Word]:
    pieces = WORDS.findall(text)
    assert "".join(pieces) == text
    return [tuple(bytes([byte]) for byte in piece.encode()) for piece in pieces]


def merged(word: Word, left: bytes, right: bytes) -> Word:
    """Return a word in which each pair of these two tokens is one token, from left to right."""
    result: list[bytes] = []
    place = 0
    while place < len(word):
        if word[place : place + 2] == (left, right):
            result.append(left + right)
            place += 2
        else:
            result.append(word[place])
            place += 1
    return tuple(result)


def pairs_of(words: Counter[Word]) -> Counter[tuple[bytes, bytes]]:
    pairs: Counter[tuple[bytes, bytes]] = Counter()
    for word, count in words.items():
        for pair in pairwise(word):
            pairs[pair] += count
    return pairs


def tokens_of(text: str, merges: list[tuple[bytes, bytes]]) -> list[bytes]:
    """Return the tokens of a text, by applying all merges in the order they were learnt in."""
    found: list[bytes] = []
    for word in words_of(text):
        for left, right in merges:
            word = merged(word, left, right)  # noqa: PLW2901
        found += word
    return found


def merges_of(tokenizer: BPETokenizer) -> list[tuple[bytes, bytes]]:
    """Return the merges in a tokenizer's JSON, as bytes."""
    model = tokenizer.to_json()["library"]["model"]
    spelled = tokenizer.token_bytes()
    return [(spelled[model["vocab"][a]], spelled[model["vocab"][b]]) for a, b in model["merges"]]


BPE = BPETokenizer.learn(TEXTS, 257 + 90)
MERGES = merges_of(BPE)


def test_each_learnt_merge_is_a_most_frequent_pair():
    assert len(MERGES) == 90
    words = Counter(word for text in TEXTS for word in words_of(text))
    for left, right in MERGES:
        pairs = pairs_of(words)
        assert pairs[left, right] == max(pairs.values()) > 1
        after: Counter[Word] = Counter()
        for word, count in words.items():
            after[merged(word, left, right)] += count
        words = after


@given(any_text)
@pytest.mark.parametrize("extra", ["", *TEXTS[:3]])
def test_a_text_has_the_tokens_of_the_slow_reference(extra: str, text: str):
    spelled = BPE.token_bytes()
    found = [spelled[token] for token in BPE.encode(extra + text)]
    assert found == tokens_of(extra + text, MERGES)


def test_the_library_reads_the_saved_file_and_gives_the_same_ids(tmp_path: Path):
    experiment = tiny_experiment()
    model = build(experiment.model, BPE.vocab_size)
    checkpoint.save(tmp_path / "m.safetensors", model, BPE, experiment, {})
    with safe_open(tmp_path / "m.safetensors", "pt") as file:
        (header,) = file.metadata().values()
    library = Library.from_str(json.dumps(json.loads(header)["tokenizer"]["library"]))
    for text in [*TEXTS, "Unseen wörds, and 日本語?\r\n", "  two  spaces "]:
        encoding = library.encode(text)
        assert encoding.ids == BPE.encode(text).tolist()
        assert library.decode(encoding.ids, skip_special_tokens=False) == text
