"""The page's own tokenizers, decoder and colours agree with those of the library."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnlm import colors
from rnnlm.play.describing import tokenizer_tables
from rnnlm.tokenizer import (
    BPETokenizer,
    ByteTokenizer,
    CharacterTokenizer,
    Tokenizer,
    WordTokenizer,
)
from tests.conftest import ROOT
from tests.play.in_node import needs_node, run_tasks

pytestmark = needs_node
PAGES = ("generation", "corpora")
PARAGRAPHS = "".join((ROOT / "docs" / f"{page}.md").read_text() for page in PAGES).split("\n")
TOKENIZERS = {
    "bpe": BPETokenizer.learn(PARAGRAPHS, 700),
    "byte": ByteTokenizer(),
    "character": CharacterTokenizer("abcdefgh XY'\n–é😀"),
    "pieces": WordTokenizer.learn(PARAGRAPHS, "pieces", 500, 1),
    "whitespace": WordTokenizer.learn(PARAGRAPHS, "whitespace", 500, 1),
}
PARTS = ["a", "bc", "the", "ing", " ", "  ", "'", "\n", "\t", "\r\n", "\x00", "\x0b", "\x7f", "é"]
PARTS += ["😀", "“", "–", "_", "~", "[", "^", "9", "3.5", "...", "n't", "שלום", "中文", "\u2028"]
PARTS += ["\ufeff", "\xa0", "\x85"]


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_the_page_encodes_as_the_library_does(kind: str):
    tokenizer: Tokenizer = TOKENIZERS[kind]
    draw = random.Random(1)
    texts = ["".join(draw.choices(PARTS, k=draw.randint(0, 12))) for _ in range(1500)]
    texts += PARAGRAPHS[:200]
    task = {"kind": "encode", "tokenizer": tokenizer_tables(tokenizer), "texts": texts}
    (found,) = run_tasks([task])
    for text, ours in zip(texts, found, strict=True):
        assert ours["ids"] == tokenizer.encode(text).tolist(), repr(text)
        assert sorted(ours["unknown"]) == sorted(tokenizer.unknown_in(text)), repr(text)


@settings(max_examples=5)
@given(st.lists(st.lists(st.binary(max_size=5), max_size=6), min_size=40, max_size=60))
def test_invalid_utf8_is_left_out_wherever_the_bytes_are_cut(parts: list[list[bytes]]):
    leads = [b"\xc3", b"\xa9", b"\xe2\x82", b"\xac", b"\xed\xa0\x80", b"\xf0\x9f", b"\x98\x80"]
    draw = random.Random(len(parts))
    parts = [[*some, *draw.choices([*leads, b"a"], k=6)] for some in parts]
    found = run_tasks([{"kind": "decode", "parts": [[*p] for p in some]} for some in parts])
    assert found == [b"".join(some).decode("utf-8", "ignore") for some in parts]


def test_colours_are_read_as_the_library_reads_them():
    draw = random.Random(1)
    texts = ["", "grey", "a 1 2 3 4", "red 1 2 256", "#a0b1c2 dusk", "#a0b1c2 x#", " red 1 2 3"]
    for _ in range(300):
        texts.append(f"deep sea {draw.randint(0, 300)} {draw.randint(0, 255)} 7")
        hue, *rest = draw.randint(-5, 365), draw.randint(0, 105), draw.randint(0, 100)
        texts.append(f"deep sea hsv {hue} {rest[0]} {rest[1]}")
        lab = draw.randint(0, 100), draw.randint(-130, 128), draw.randint(-128, 127)
        texts.append(f"sea lab {lab[0]} {lab[1]} {lab[2]}")
    (found,) = run_tasks([{"kind": "colors", "texts": texts}])
    for text, ours in zip(texts, found, strict=True):
        theirs = colors.parse(text)
        assert (ours is None) == (theirs is None), text
        if theirs is None:
            continue
        assert ours["name"] == theirs.name
        channels = [int(ours["hex"][at : at + 2], 16) for at in (1, 3, 5)]
        assert max(abs(a - b) for a, b in zip(channels, theirs[1:], strict=True)) <= 1, text
