from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rnnlm.engine import texts
from rnnlm.engine.texts import Decoder, GeneratedText
from rnnlm.kernels.slots import EndedTexts, in_order
from rnnlm.tokenizer import ByteTokenizer, CharacterTokenizer, Tokenizer, WordTokenizer

TOKENIZERS: list[Tokenizer] = [
    CharacterTokenizer("aé漢 .\n"),
    ByteTokenizer(),
    WordTokenizer(["the", " cat", ".", "é"], "pieces"),
    WordTokenizer(["the", "cat", "é"], "whitespace"),
]
rows = st.lists(st.lists(st.integers(0, 1000), max_size=12), max_size=8)


def ended(parts: list[list[int]], first: int = 0) -> EndedTexts:
    return EndedTexts(
        np.arange(first, first + len(parts)),
        np.array([len(part) for part in parts], np.int64),
        np.array([token for part in parts for token in part], np.int32),
        np.ones(len(parts), np.bool_),
        np.arange(len(parts), dtype=np.float64),
    )


@given(rows, st.sampled_from(TOKENIZERS))
def test_a_batch_decodes_like_its_texts_one_by_one(parts: list[list[int]], tokenizer: Tokenizer):
    ids = [[i % tokenizer.vocab_size for i in part] for part in parts]
    ids = [[i for i in part if i not in (tokenizer.unknown_id, 0)] for part in ids]
    decoded = Decoder(tokenizer, ["", "é"]).decode(ended(ids, first=3)).to_pylist()
    begins = [[] if n % 2 == 0 else tokenizer.encode("é").tolist() for n in range(3, 3 + len(ids))]
    whole = [tokenizer.decode(b + part) for b, part in zip(begins, ids, strict=True)]
    assert decoded == [text.replace("\ufffd", "") for text in whole]  # incomplete characters


def test_a_text_that_ends_within_a_character_ends_before_it():
    tokenizer = ByteTokenizer()
    ids = tokenizer.encode("漢字").tolist()
    decoder = Decoder(tokenizer, ["漢"])
    cut = [ids[:size] for size in range(len(ids) + 1)]
    assert decoder.decode(ended(cut)).to_pylist() == ["漢", "漢", "漢", *["漢漢"] * 3, "漢漢字"]


def test_a_stop_string_is_cut_off_even_if_it_begins_in_the_prefix():
    tokenizer = CharacterTokenizer("abc\n")
    texts = [tokenizer.encode(text).tolist() for text in ("cab", "aac", "\n")]
    decoder = Decoder(tokenizer, ["ab"], stop=["bc", "\n"])
    assert decoder.decode(ended(texts)).to_pylist() == ["a", "abaac", "ab"]


@given(st.permutations(range(6)), st.lists(st.integers(0, 5), min_size=6, max_size=6))
def test_texts_are_put_in_order(order: list[int], lengths: list[int]):
    parts = []
    for number in order:
        one = ended([[number] * lengths[number]], first=number)
        parts.append(one)
    found = in_order(parts)
    assert found.numbers.tolist() == [*range(6)]
    assert found.lengths.tolist() == lengths
    assert found.tokens.tolist() == [n for n in range(6) for _ in range(lengths[n])]


def test_the_rows_of_a_batch_hold_python_values():
    tokenizer = CharacterTokenizer("ab")
    batch = ended([tokenizer.encode(text).tolist() for text in ("ab", "b")], first=7)
    batch = replace(batch, complete=np.array([True, False]))
    found = [*texts.rows(batch, Decoder(tokenizer, [""]))]
    assert found == [GeneratedText(7, "ab", 2, 0.0, True), GeneratedText(8, "b", 1, 1.0, False)]
    assert [*map(type, vars(found[1]).values())] == [int, str, int, float, bool]
