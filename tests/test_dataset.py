from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from rnnlm.config import CorpusConfig, SplitConfig, TokenizerConfig
from rnnlm.corpora.ingestion import Corpus, ingest, read_documents
from rnnlm.corpora.splitting import SPLITS
from rnnlm.dataset import (
    Tokens,
    from_texts,
    load_split,
    load_tokenizer,
    token_schema,
    token_type,
    tokenize,
)
from rnnlm.errors import DatasetError
from rnnlm.tokenizer import BOUNDARY_ID
from tests.conftest import lines


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    (tmp_path / "text").write_text(lines(200))
    return ingest(
        CorpusConfig(source=str(tmp_path / "text")),
        SplitConfig(validation=0.2, test=0.2),
        tmp_path / "corpus",
    )


@pytest.fixture
def tokens(corpus: Corpus, tmp_path: Path) -> Tokens:
    return tokenize(corpus.uri, corpus.digest, TokenizerConfig(), tmp_path / "tokens")


def test_shards_decode_to_the_documents(corpus: Corpus, tokens: Tokens):
    tokenizer = load_tokenizer(tokens.uri)
    for split in SPLITS:
        arrays = load_split(tokens.uri, split)
        pieces = np.split(arrays.tokens, arrays.offsets[1:-1])
        assert all(piece[-1] == BOUNDARY_ID for piece in pieces)
        decoded = [tokenizer.decode(piece.tolist()) for piece in pieces]
        assert decoded == read_documents(corpus.uri, split)
        assert arrays.characters.sum() == corpus.characters[split]


def test_the_schema_is_what_the_documentation_says(tokens: Tokens):
    shard = pq.read_schema(next(Path(tokens.uri).glob("tokens-*.parquet")))
    assert shard.equals(token_schema(tokens.vocab_size))
    assert shard.field("tokens").type.value_type == "uint8"
    assert shard.metadata[b"rnnlm.corpus_digest"].decode() == tokens.corpus_digest
    assert b'"kind": "character"' in shard.metadata[b"rnnlm.tokenizer"]
    assert shard.metadata[b"rnnlm.schema_version"] == b"1"


def test_the_vocabulary_comes_from_the_training_split_alone(corpus: Corpus, tokens: Tokens):
    known = load_tokenizer(tokens.uri).to_json()["characters"]
    assert {*known} == {*"".join(read_documents(corpus.uri, "train"))}


@pytest.mark.parametrize(
    ("size", "expected"), [(2, "uint8"), (256, "uint8"), (257, "uint16"), (70_000, "uint32")]
)
def test_ids_take_the_smallest_type_that_holds_them(size: int, expected: str):
    assert token_type(size) == expected


def test_tokenizing_again_gives_the_same_digest(corpus: Corpus, tokens: Tokens, tmp_path: Path):
    again = tokenize(corpus.uri, corpus.digest, TokenizerConfig(), tmp_path / "again")
    assert again.digest == tokens.digest
    as_bytes = tokenize(corpus.uri, corpus.digest, TokenizerConfig(kind="byte"), tmp_path / "bytes")
    assert as_bytes.digest != tokens.digest


def test_texts_in_memory_make_the_arrays_that_shards_make(corpus: Corpus, tokens: Tokens):
    arrays = load_split(tokens.uri, "test")
    again = from_texts(load_tokenizer(tokens.uri), read_documents(corpus.uri, "test"))
    assert (again.tokens == arrays.tokens).all()
    assert (again.offsets == arrays.offsets).all()
    assert (again.bytes == arrays.bytes).all()


def test_missing_and_torn_shards_say_what_to_do(tokens: Tokens, tmp_path: Path):
    with pytest.raises(
        DatasetError, match=r"no Parquet shards in .*tokens-\*\.parquet.*rnnlm train"
    ):
        load_split(str(tmp_path), "train")
    shard = next(Path(tokens.uri).glob("tokens-*.parquet"))
    shard.write_bytes(shard.read_bytes()[:100])
    with pytest.raises(DatasetError, match="cannot read the shards"):
        load_split(tokens.uri, "train")
