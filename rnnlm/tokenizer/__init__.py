"""Tokenizers: turn text into ids of characters, bytes, words or word pieces, and ids into text.

They are saved as JSON, which contains no code.

Token 0 is the document boundary, `<eos>`. It ends every document, and is the first input of each
document. Because one symbol marks the start and the end, a document's row in the Parquet shards is
used unchanged as its targets, and the vocabulary is as large as the literature reports.
"""

from collections.abc import Iterable
from typing import Any

from rnnlm.config import TokenizerConfig
from rnnlm.errors import TokenizerError
from rnnlm.tokenizer import saved
from rnnlm.tokenizer.bpe import BPETokenizer
from rnnlm.tokenizer.byte import ByteTokenizer
from rnnlm.tokenizer.character import CharacterTokenizer
from rnnlm.tokenizer.contract import (
    BOUNDARY,
    UNKNOWN,
    UNKNOWN_ID,
    Encoded,
    TokenIds,
    Tokenizer,
    batches_of,
    token_type,
)
from rnnlm.tokenizer.word import WordTokenizer

__all__ = [
    "BOUNDARY",
    "LEARNT_FROM",
    "UNKNOWN",
    "UNKNOWN_ID",
    "BPETokenizer",
    "ByteTokenizer",
    "CharacterTokenizer",
    "Encoded",
    "TokenIds",
    "Tokenizer",
    "WordTokenizer",
    "batches_of",
    "check_known",
    "from_json",
    "learn",
    "token_type",
]


LEARNT_FROM = {"word": 256_000_000, "bpe": 32_000_000}
"""Largest number of bytes of text that a vocabulary is learnt from, by kind of tokenizer; of a
longer text, a sample is used."""


def learn(config: TokenizerConfig, texts: Iterable[str]) -> Tokenizer:
    """Build the tokenizer that `config` names; a vocabulary is learnt from `texts`, read once."""
    match config.kind:
        case "byte":
            return ByteTokenizer()
        case "character":
            return CharacterTokenizer.learn(texts)
        case "word":
            return WordTokenizer.learn(texts, config.words, config.vocab_size, config.min_count)
        case "bpe":
            return BPETokenizer.learn(texts, config.vocab_size)
        case "base":
            raise TokenizerError(
                "tokenizer.kind = 'base' learns no vocabulary: pass the base's tokenizer"
            )


def from_json(value: Any) -> Tokenizer:
    """Rebuild a tokenizer from what `to_json` returned.

    Raises:
        TokenizerError: `value` does not describe a tokenizer.
    """
    match value:
        case {"kind": "byte"}:
            return ByteTokenizer()
        case {"kind": "character"}:
            return CharacterTokenizer(saved.read_characters(value).characters)
        case {"kind": "word"}:
            words = saved.read_words(value)
            return WordTokenizer(words.words, words.style, words.writes_unknown)
        case {"kind": "bpe", "library": dict(description)}:
            return BPETokenizer.from_description(description)
    raise TokenizerError(
        "not the JSON of a tokenizer (expected kind = character, byte, word or bpe)"
    )


def check_known(tokenizer: Tokenizer, text: str, what: str) -> None:
    """Check that the vocabulary can express `text`.

    Raises:
        TokenizerError: Some characters or words are unknown; the message names them.
    """
    unknown = tokenizer.unknown_in(text)
    if unknown:
        listed = ", ".join(repr(part) for part in unknown[:10])
        kind = {"character": "characters", "word": "words"}.get(tokenizer.kind, "parts")
        raise TokenizerError(
            f"{what} has {kind} that the model never saw in training: {listed}; leave them out"
        )
