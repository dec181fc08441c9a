import json
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from rnnlm.conditioning import header, iter_with_headers
from rnnlm.config import ModelConfig, TokenizerConfig
from rnnlm.corpora.documents import iter_texts, text_bytes
from rnnlm.corpora.ingestion import Corpus
from rnnlm.corpora.splitting import SPLITS
from rnnlm.dataset import (
    TOKENS_SCHEMA,
    Tokens,
    from_texts,
    load_split,
    load_spread,
    load_tokenizer,
    tokenize,
)
from rnnlm.errors import CorpusError, DatasetError
from rnnlm.evaluation.scoring import evaluate
from rnnlm.models.ngram import NGramLanguageModel
from rnnlm.tokenizer import token_type
from rnnlm.tokens import BOUNDARY_ID
from tests.conftest import WORDS, ingest_text, lines
from tests.fuzz import own_files

CONDITION = ("brand", "season")


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    (tmp_path / "text").write_text(lines(200))
    return ingest_text(tmp_path / "text", tmp_path / "corpus")


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
        assert decoded == [*iter_texts(corpus.uri, split)]
        assert arrays.characters.sum() == corpus.characters[split]


def test_the_schema_matches_the_documentation(tokens: Tokens):
    shard = pq.read_schema(next(Path(tokens.uri).glob("tokens-*.parquet")))
    assert shard.equals(TOKENS_SCHEMA)
    assert shard.metadata[b"rnnlm.corpus_digest"].decode() == tokens.corpus_digest
    assert shard.metadata[b"rnnlm.token_type"] == b"uint8"
    assert shard.metadata[b"rnnlm.schema_version"] == b"2"


@pytest.mark.parametrize("kind", ["character", "byte", "word", "bpe"])
def test_every_tokenizer_survives_parquet(corpus: Corpus, tmp_path: Path, kind: Any):
    config = TokenizerConfig(kind=kind, vocab_size=300)
    tokens = tokenize(corpus.uri, corpus.digest, config, tmp_path / kind)
    tokenizer = load_tokenizer(tokens.uri)
    for split in SPLITS:
        arrays = load_split(tokens.uri, split)
        assert len(arrays.tokens) == tokens.tokens[split]
        texts = [*iter_texts(corpus.uri, split)]
        rows = np.split(arrays.tokens, arrays.offsets[1:-1])
        decoded = [tokenizer.decode(row.tolist()) for row in rows]
        assert decoded == texts or (kind == "word" and split != "train")
    assert abs(sum(tokens.most_frequent.values()) - 1) < 0.01 or len(tokens.most_frequent) == 20


def test_a_split_too_large_for_memory_is_mapped_with_equal_contents(tokens: Tokens):
    held = load_split(tokens.uri, "train")
    for _ in range(2):  # unpacked the first time, reused the second
        mapped = load_split(tokens.uri, "train", in_memory=0)
        assert isinstance(mapped.tokens, np.memmap)
        for name in ("tokens", "offsets", "characters", "bytes"):
            assert (getattr(mapped, name) == getattr(held, name)).all()


def test_the_first_documents_have_at_most_the_requested_tokens(tokens: Tokens):
    arrays = load_split(tokens.uri, "train")
    for asked in (1, 100, 10**9):
        first = arrays.first(asked)
        assert 1 <= len(first.lengths) == len(first.characters) <= len(arrays.lengths)
        assert len(first.tokens) == first.offsets[-1] <= asked
        assert (first.tokens == arrays.tokens[: len(first.tokens)]).all()
    assert len(arrays.first(10**9).tokens) == len(arrays.tokens)


def test_any_number_of_workers_writes_the_same_tokens(tmp_path: Path):
    (tmp_path / "text").write_text(lines(2000))
    corpus = ingest_text(tmp_path / "text", tmp_path / "many", shard_bytes=1000)
    config = TokenizerConfig(kind="bpe", vocab_size=300)
    alone = tokenize(corpus.uri, corpus.digest, config, tmp_path / "one")
    with ProcessPoolExecutor(3) as pool:
        together = tokenize(corpus.uri, corpus.digest, config, tmp_path / "three", executor=pool)
    assert together.model_dump(exclude={"uri"}) == alone.model_dump(exclude={"uri"})
    shards = [*(tmp_path / "one").glob("*.parquet")]
    assert len(shards) > 10
    for shard in shards:
        assert (tmp_path / "three" / shard.name).read_bytes() == shard.read_bytes()


def test_the_vocabulary_comes_from_the_training_split_alone(corpus: Corpus, tokens: Tokens):
    known = load_tokenizer(tokens.uri).to_json()["characters"]
    assert {*known} == {*"".join(iter_texts(corpus.uri, "train"))}


@pytest.mark.parametrize(
    ("size", "expected"), [(2, "uint8"), (256, "uint8"), (257, "uint16"), (70_000, "uint32")]
)
def test_ids_have_the_smallest_type_that_fits(size: int, expected: str):
    assert token_type(size) == expected


def test_tokenizing_again_gives_the_same_digest(corpus: Corpus, tokens: Tokens, tmp_path: Path):
    again = tokenize(corpus.uri, corpus.digest, TokenizerConfig(), tmp_path / "again")
    assert again.digest == tokens.digest
    as_bytes = tokenize(corpus.uri, corpus.digest, TokenizerConfig(kind="byte"), tmp_path / "bytes")
    assert as_bytes.digest != tokens.digest


def test_texts_in_memory_give_the_same_arrays_as_shards(corpus: Corpus, tokens: Tokens):
    arrays = load_split(tokens.uri, "test")
    again = from_texts(load_tokenizer(tokens.uri), [*iter_texts(corpus.uri, "test")])
    assert (again.tokens == arrays.tokens).all()
    assert (again.offsets == arrays.offsets).all()
    assert (again.bytes == arrays.bytes).all()


@pytest.fixture
def seasonal(tmp_path: Path) -> Corpus:
    """Two hundred short texts, each with a brand and a season; some seasons are unknown."""
    with (tmp_path / "seasonal.jsonl").open("w") as file:
        for n, text in enumerate(lines(200).splitlines()):
            record = {"text": text, "brand": f" Maison\t{WORDS[n % 3]} é", "season": "June"}
            file.write(json.dumps(record if n % 4 else record | {"season": None}) + "\n")
    return ingest_text(
        tmp_path / "seasonal.jsonl", tmp_path / "seasonal", attributes=["season", "brand"]
    )


@pytest.mark.parametrize("kind", ["character", "byte", "bpe"])
def test_shards_hold_each_header_and_its_text(seasonal: Corpus, tmp_path: Path, kind: Any):
    config = TokenizerConfig(kind=kind, vocab_size=300)
    out = tmp_path / "told"
    tokens = tokenize(seasonal.uri, seasonal.digest, config, out, condition=CONDITION)
    tokenizer = load_tokenizer(tokens.uri)
    rows = pq.read_table(seasonal.uri).to_pylist()
    for split in SPLITS:
        expected = [
            header(dict(row["attributes"]), CONDITION) + row["text"]
            for row in rows
            if row["split"] == split
        ]
        assert all(text.startswith("Maison ") and text.count("\t") == 2 for text in expected)
        assert [*iter_with_headers(seasonal.uri, split, CONDITION)] == expected
        arrays = load_split(tokens.uri, split)
        pieces = np.split(arrays.tokens, arrays.offsets[1:-1])
        assert [tokenizer.decode(piece.tolist()) for piece in pieces] == expected
        assert arrays.characters.tolist() == [len(text) for text in expected]
        assert arrays.bytes.tolist() == [len(text.encode()) for text in expected]
    assert "\t\t" in "".join(
        iter_with_headers(seasonal.uri, "train", CONDITION)
    )  # an unknown value is empty
    assert tokens.unknown["train"] == 0


def test_texts_with_headers_score_like_their_shards(seasonal: Corpus, tmp_path: Path):
    tokens = tokenize(
        seasonal.uri, seasonal.digest, TokenizerConfig(), tmp_path / "told", condition=CONDITION
    )
    model = NGramLanguageModel(ModelConfig(architecture="ngram"), tokens.vocab_size)
    model.fit(load_split(tokens.uri, "train"))
    texts = [*iter_with_headers(seasonal.uri, "test", CONDITION)]
    of_texts = evaluate(model, from_texts(load_tokenizer(tokens.uri), texts)).score
    assert of_texts == evaluate(model, load_split(tokens.uri, "test")).score
    assert of_texts.characters == sum(map(len, texts)) > seasonal.characters["test"]


def test_without_a_condition_attributes_make_no_difference(seasonal: Corpus, tmp_path: Path):
    plain = tokenize(seasonal.uri, seasonal.digest, TokenizerConfig(), tmp_path / "plain")
    assert [*iter_with_headers(seasonal.uri, "train", ())] == [*iter_texts(seasonal.uri, "train")]
    assert load_split(plain.uri, "train").characters.sum() == seasonal.characters["train"]
    digests = {plain.digest}
    for condition in (CONDITION, CONDITION[:1], CONDITION[::-1]):
        out = tmp_path / "-".join(condition)
        config = TokenizerConfig(kind="byte")
        made = tokenize(seasonal.uri, seasonal.digest, config, out, condition=condition)
        digests.add(made.digest)
    assert len(digests) == 4


def test_a_document_without_an_attribute_of_the_condition_is_an_error(
    seasonal: Corpus, tmp_path: Path
):
    with pytest.raises(CorpusError, match=r"the document \w{16} has no attribute 'year'"):
        tokenize(
            seasonal.uri, seasonal.digest, TokenizerConfig(), tmp_path / "told", condition=["year"]
        )


def test_missing_and_truncated_shards_are_clear_errors(tokens: Tokens, tmp_path: Path):
    with pytest.raises(
        DatasetError, match=r"no Parquet shards in .*tokens-\*-\*\.parquet.*rnnlm train"
    ):
        load_split(str(tmp_path), "train")
    shard = next(Path(tokens.uri).glob("tokens-train-*.parquet"))
    shard.write_bytes(shard.read_bytes()[:100])
    with pytest.raises(DatasetError, match="cannot read the shards"):
        load_split(tokens.uri, "train")


def test_a_limited_reading_is_spread_over_a_long_text(tmp_path: Path):
    (tmp_path / "text").write_text(lines(4000))
    corpus = ingest_text(tmp_path / "text", tmp_path / "corpus", shard_bytes=2000)
    texts = [*iter_with_headers(corpus.uri, "train", ())]
    some = [*iter_with_headers(corpus.uri, "train", (), most=sum(map(len, texts)) // 4)]
    places = {text: number for number, text in enumerate(texts)}
    found = [places[text] for text in some]
    assert found == sorted(found)
    assert 0.1 < len(some) / len(texts) < 0.45
    assert max(np.diff(found, prepend=0, append=len(texts))) < len(texts)
    assert [*iter_with_headers(corpus.uri, "train", (), most=10**9)] == texts


def test_a_limited_load_holds_documents_of_the_split(tokens: Tokens):
    whole = load_split(tokens.uri, "train")
    some = load_spread(tokens.uri, "train", len(whole.tokens) // 3)
    assert 0.25 < len(some.tokens) / len(whole.tokens) < 0.4
    documents = {bytes(d) for d in np.split(whole.tokens, whole.offsets[1:-1])}
    assert {bytes(d) for d in np.split(some.tokens, some.offsets[1:-1])} <= documents
    assert load_spread(tokens.uri, "train", 10**9).tokens.tolist() == whole.tokens.tolist()


def test_a_damaged_shard_raises_an_error_and_does_not_abort_the_process(tmp_path: Path):
    """Arrow aborts the process if it is asked for the damaged description of a column."""
    whole, _ = own_files.shards()
    path = tmp_path / "documents-00000.parquet"
    damaged = 0
    for at in range(len(whole) - 1200, len(whole), 3):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x05]) + whole[at + 1 :])
        with suppress(CorpusError):
            list(iter_texts(str(tmp_path), "train"))
            text_bytes([path], "train")
            continue
        damaged += 1
    assert damaged > 100
