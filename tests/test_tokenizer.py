import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnlm import tokenizer as tokenizers
from rnnlm.errors import TokenizerError
from rnnlm.tokenizer import BOUNDARY_ID, ByteTokenizer, CharacterTokenizer, check_known

any_text = st.text()  # any Unicode but lone surrogates, which no file can hold


@given(any_text)
def test_bytes_decode_to_what_was_encoded(text: str):
    tokenizer = ByteTokenizer()
    assert tokenizer.decode(tokenizer.encode(text)) == text


@given(any_text)
def test_known_characters_decode_to_what_was_encoded(text: str):
    tokenizer = CharacterTokenizer(text)
    assert tokenizer.decode(tokenizer.encode(text)) == text


@given(any_text, any_text)
def test_unknown_characters_and_no_others_become_unknown(known: str, text: str):
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


def test_a_torn_character_is_replaced():
    tokenizer = ByteTokenizer()
    tokenizer.decode([0xED + 1, 0xA0 + 1, 0x80 + 1]).encode()  # a lone surrogate could not be
    assert tokenizer.decode(tokenizer.encode("é")[:1]) == "\ufffd"


def test_an_unknown_prefix_is_refused_with_its_characters():
    with pytest.raises(TokenizerError, match="'ß', 'é'"):
        check_known(CharacterTokenizer("abc"), "aßbé", "the prefix")
    check_known(ByteTokenizer(), "aßbé", "the prefix")


@pytest.mark.parametrize("value", [None, {}, {"kind": "word"}, {"kind": "character"}, []])
def test_what_is_no_tokenizer_is_refused(value: object):
    with pytest.raises(TokenizerError):
        tokenizers.from_json(value)
