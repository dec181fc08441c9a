import json

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Regex, pre_tokenizers

from rnnlm import tokenizer as tokenizers
from rnnlm.config import TokenizerConfig
from rnnlm.errors import TokenizerError
from rnnlm.tokenizer import (
    UNKNOWN_ID,
    BPETokenizer,
    ByteTokenizer,
    CharacterTokenizer,
    Tokenizer,
    WordTokenizer,
    check_known,
    token_type,
)
from rnnlm.tokenizer.segments import PATTERN, pieces
from rnnlm.tokens import BOUNDARY_ID

any_text = st.text() | st.text("ab' \n.,é\t-<>0")  # any Unicode except lone surrogates
PROSE = [
    "It was a dark and stormy night; the rain didn't stop. \n\nIt fell  in torrents.",
    "Except at occasional intervals, when it was checked by a violent gust of wind.",
] * 20
BPE = BPETokenizer.learn(PROSE, 300)
WORDS = WordTokenizer.learn(PROSE, "pieces", 1000, 1)


@pytest.mark.parametrize("tokenizer", [ByteTokenizer(), BPE], ids=["byte", "bpe"])
@given(text=any_text)
def test_bytes_and_byte_pairs_decode_to_what_was_encoded(tokenizer: Tokenizer, text: str):
    assert tokenizer.decode(tokenizer.encode(text)) == text


@given(any_text)
def test_known_words_decode_to_what_was_encoded(text: str):
    tokenizer = WordTokenizer.learn([text], "pieces", 10_000, 1)
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert UNKNOWN_ID not in tokenizer.encode(text)


@given(any_text)
def test_pieces_match_the_pattern_that_merges_are_learnt_with(text: str):
    found = pieces(pa.array([text], pa.large_string()))
    split = pre_tokenizers.Split(Regex(PATTERN), "isolated")
    expected = [piece.encode() for piece, _ in split.pre_tokenize_str(text)]
    assert [found.distinct[index].as_py() for index in found.indices.tolist()][:-1] == expected


@given(any_text)
def test_byte_pairs_match_the_library(text: str):
    if "<eos>" not in text:  # a special token for the library, text for us
        assert BPE.encode(text).tolist() == BPE._library.encode(text).ids
    assert BOUNDARY_ID not in BPE.encode(text)


@given(st.lists(any_text))
def test_a_batch_holds_its_texts_each_followed_by_the_boundary(texts: list[str]):
    for tokenizer in (ByteTokenizer(), CharacterTokenizer("abé "), WORDS, BPE):
        encoded = tokenizer.encode_batch(pa.array(texts, pa.large_string()))
        assert encoded.tokens.dtype == token_type(tokenizer.vocab_size)
        assert len(encoded.offsets) == len(texts) + 1
        for place, text in enumerate(texts):
            row = encoded.tokens[encoded.offsets[place] : encoded.offsets[place + 1]].tolist()
            assert row == [*tokenizer.encode(text).tolist(), BOUNDARY_ID]


def test_words_are_ranked_by_count_capped_and_rare_ones_unknown():
    texts = ["a a a b b c", "d a"]
    tokenizer = WordTokenizer.learn(texts, "whitespace", 100, 2)
    assert tokenizer.to_json()["words"] == ["a", "b"]
    assert tokenizer.encode("a b c").tolist() == [2, 3, UNKNOWN_ID]
    assert WordTokenizer.learn(texts, "whitespace", 3, 1).to_json()["words"] == ["a"]


def test_whitespace_words_treat_line_ends_as_boundaries_like_the_literature():
    tokenizer = WordTokenizer.learn([" \n = Title = \n a <unk> b \n"], "whitespace", 100, 1)
    assert "<unk>" not in tokenizer.to_json()["words"]
    ids = tokenizer.encode(" \n = Title = \n a <unk> b")
    assert (ids == BOUNDARY_ID).sum() == 2
    assert (ids == UNKNOWN_ID).sum() == 1
    assert tokenizer.decode(ids) == "\n= Title =\na <unk> b"


def test_learning_again_gives_the_same_tokenizer():
    for kind in ("character", "word", "bpe"):
        config = TokenizerConfig(kind=kind, vocab_size=400)
        one, two = (tokenizers.learn(config, iter(PROSE)).to_json() for _ in range(2))
        assert one == two


@pytest.mark.parametrize("tokenizer", [BPE, WORDS, ByteTokenizer()], ids=["bpe", "word", "byte"])
def test_every_kind_survives_json(tokenizer: Tokenizer):
    again = tokenizers.from_json(json.loads(json.dumps(tokenizer.to_json())))
    assert (again.kind, again.vocab_size) == (tokenizer.kind, tokenizer.vocab_size)
    for text in PROSE[:2]:
        assert (again.encode(text) == tokenizer.encode(text)).all()


@given(any_text)
def test_known_characters_decode_to_what_was_encoded(text: str):
    tokenizer = CharacterTokenizer(text)
    assert tokenizer.decode(tokenizer.encode(text)) == text


@given(any_text, any_text)
def test_only_unknown_characters_become_unknown(known: str, text: str):
    tokenizer = CharacterTokenizer(known)
    unknown = [index == tokenizer.unknown_id for index in tokenizer.encode(text)]
    assert unknown == [character not in known for character in text]


@given(any_text)
def test_a_tokenizer_survives_json(text: str):
    tokenizer = CharacterTokenizer(text)
    again = tokenizers.from_json(json.loads(json.dumps(tokenizer.to_json())))
    assert again.vocab_size == tokenizer.vocab_size
    assert (again.encode(text) == tokenizer.encode(text)).all()


@given(any_text)
def test_no_text_encodes_to_the_boundary(text: str):
    for tokenizer in (ByteTokenizer(), CharacterTokenizer("abc")):
        ids = tokenizer.encode(text)
        assert BOUNDARY_ID not in ids
        assert all(0 <= index < tokenizer.vocab_size for index in ids)


def test_an_incomplete_character_is_replaced():
    tokenizer = ByteTokenizer()
    tokenizer.decode([0xED, 0xA0, 0x80]).encode()  # would fail if this decoded to a lone surrogate
    assert tokenizer.decode(tokenizer.encode("é")[:1]) == "\ufffd"


def test_an_unknown_prefix_is_refused_with_its_characters():
    with pytest.raises(TokenizerError, match="'ß', 'é'"):
        check_known(CharacterTokenizer("abc"), "aßbé", "the prefix")
    with pytest.raises(TokenizerError, match=r"words .*' zebra'"):
        check_known(WORDS, "It was a zebra", "the prefix")
    for tokenizer in (ByteTokenizer(), BPE):
        check_known(tokenizer, "aßbé", "the prefix")


@pytest.mark.parametrize(
    "value", [None, {}, {"kind": "word"}, {"kind": "character"}, {"kind": "bpe", "library": {}}, []]
)
def test_an_invalid_description_is_refused(value: object):
    with pytest.raises(TokenizerError):
        tokenizers.from_json(value)


@given(any_text)
def test_token_bytes_of_a_text_join_to_the_text(text: str):
    for tokenizer in (
        ByteTokenizer(),
        BPE,
        CharacterTokenizer(text),
        WordTokenizer.learn([text], "pieces", 10_000, 1),
    ):
        found = tokenizer.token_bytes()
        assert b"".join(found[index] for index in tokenizer.encode(text)) == text.encode()


def test_every_token_but_boundary_and_unknown_has_bytes():
    for tokenizer in (ByteTokenizer(), BPE, CharacterTokenizer("abé"), WORDS):
        found = tokenizer.token_bytes()
        assert len(found) == tokenizer.vocab_size
        empty = {index for index, piece in enumerate(found) if not piece}
        assert empty == {BOUNDARY_ID, tokenizer.unknown_id} - {None}


def test_whitespace_words_have_no_token_bytes():
    with pytest.raises(TokenizerError, match="pieces"):
        WordTokenizer.learn(["a b"], "whitespace", 10, 1).token_bytes()


def test_text_with_its_own_unknown_token_loses_nothing():
    config = TokenizerConfig(kind="word", words="whitespace")
    published = tokenizers.learn(config, ["the <unk> sat\n"])
    assert published.unknown_id == 1
    assert published.lost_id is None
    assert tokenizers.from_json(published.to_json()).lost_id is None
    assert tokenizers.learn(config, ["the cat sat\n"]).lost_id == 1
