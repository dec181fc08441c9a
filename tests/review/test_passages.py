from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnlm import checkpoint, dataset
from rnnlm.errors import DatasetError
from rnnlm.evaluation.comparison import TextNats
from rnnlm.evaluation.results import NATS_FILE, NGRAM_NATS_FILE
from rnnlm.evaluation.scoring import PIECE_TOKENS
from rnnlm.metrics import NATS_PER_BIT
from rnnlm.models import ARCHITECTURES
from rnnlm.review import passages
from rnnlm.review.passages import Piece, choose_pieces, find_extremes, piece_nats, token_nats
from rnnlm.surprise import END_MARK, spread
from rnnlm.tokenizer import ByteTokenizer, Tokenizer, learn
from rnnlm.tokens import TokenArrays
from tests.conftest import tiny_experiment
from tests.review.conftest import Made

TEXT = "the cat, the hat — el niño\n«日本語» 🎨 and the rest of it\n" * 3


def tokenizer_of(kind: str, **settings: object) -> Tokenizer:
    config = tiny_experiment(tokenizer={"kind": kind, **settings}).tokenizer
    return learn(config, [TEXT])


@pytest.mark.parametrize("model", ["model", "ngrams"])
def test_surprises_of_a_document_sum_to_its_nats(model: str, made: Made):
    loaded = checkpoint.load(Path(getattr(made, model).checkpoint))
    name = NATS_FILE if model == "model" else NGRAM_NATS_FILE
    scores = TextNats.load(Path(made.scores.uri) / name)
    arrays = dataset.load_split(made.tokens_uri, "test")
    nats = token_nats(loaded.model, arrays)
    sums = np.add.reduceat(nats, arrays.offsets[:-1])
    assert sums == pytest.approx(scores.documents, rel=1e-5)
    for document in range(5):
        own = slice(arrays.offsets[document], arrays.offsets[document + 1])
        text, characters = spread(loaded.tokenizer, arrays.tokens[own], nats[own])
        assert characters.sum() == pytest.approx(scores.documents[document], rel=1e-5)
        assert len(text) == scores.characters[document] + len(END_MARK)


@pytest.mark.parametrize("kind", ["character", "byte", "word", "bpe"])
def test_spreading_keeps_the_text_and_the_sum(kind: str):
    tokenizer = tokenizer_of(kind, vocab_size=300) if kind == "bpe" else tokenizer_of(kind)
    arrays = dataset.from_texts(tokenizer, [TEXT])
    surprise = np.random.default_rng(0).exponential(size=len(arrays.tokens))
    text, found = spread(tokenizer, arrays.tokens, surprise)
    assert text.removesuffix(END_MARK) == tokenizer.decode(arrays.tokens.tolist())
    assert len(found) == len(text)
    assert found.sum() == pytest.approx(surprise.sum())
    assert found[-1] == surprise[-1]


def test_whitespace_words_are_spread_with_their_spaces():
    tokenizer = tokenizer_of("word", words="whitespace", min_count=4)
    arrays = dataset.from_texts(tokenizer, ["the cat and zebra\nthe end"])
    surprise = np.arange(1.0, len(arrays.tokens) + 1)
    text, found = spread(tokenizer, arrays.tokens, surprise)
    assert "<unk>" in text
    assert "\n" in text
    assert found.sum() == pytest.approx(surprise.sum())


@given(st.text(max_size=30), st.integers(0, 8), st.integers(0, 8))
def test_cutting_inside_a_character_leaves_only_whole_ones(text: str, start: int, end: int):
    text = text.encode("utf-8", "ignore").decode()
    tokenizer = ByteTokenizer()
    ids = tokenizer.encode(text)
    ids = ids[start : max(start, len(ids) - end)].astype(np.uint8)
    shown, found = spread(tokenizer, ids, np.ones(len(ids)))
    assert len(shown) == len(found)
    assert shown in text
    assert found.sum() == len(shown.encode())


def test_the_hardest_cost_more_than_the_easiest(made: Made):
    model, ngrams = (checkpoint.load(Path(part.checkpoint)) for part in (made.model, made.ngrams))
    arrays = dataset.load_split(made.tokens_uri, "test")
    scores = TextNats.load(Path(made.scores.uri) / NATS_FILE)
    extremes = find_extremes(model.model, ngrams.model, model.tokenizer, arrays, scores)
    hardest = [passage.bits_per_character for passage in extremes.hardest]
    easiest = [passage.bits_per_character for passage in extremes.easiest]
    assert len(hardest) == len(easiest) == passages.PASSAGES
    assert hardest == sorted(hardest, reverse=True)
    assert easiest == sorted(easiest)
    assert easiest[-1] < hardest[-1]
    rates = scores.documents / scores.characters / NATS_PER_BIT
    for passage in (*extremes.hardest, *extremes.easiest):
        assert passage.is_whole
        assert passage.bits_per_character == pytest.approx(rates[passage.document], rel=1e-5)
        assert len(passage.text) == len(passage.bits) == len(passage.ngram_bits)
    numbers = [passage.document for passage in (*extremes.hardest, *extremes.easiest)]
    assert len(numbers) == len({*numbers})


def scored(lengths: list[int], rates: list[float]) -> tuple[TokenArrays, TextNats]:
    """Return documents of one-byte tokens, and their scores.

    Args:
        lengths: Number of tokens of each document.
        rates: Nats per token of each piece; a document is cut into pieces of `PIECE_TOKENS` tokens.
    """
    sizes = np.array(lengths)
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    arrays = TokenArrays(np.full(offsets[-1], 97, np.uint8), offsets, sizes, sizes)
    tokens = np.array(
        [min(n - at, PIECE_TOKENS) for n in lengths for at in range(0, n, PIECE_TOKENS)]
    )
    pieces = tokens * np.array(rates)
    return arrays, TextNats(np.zeros(len(sizes)), sizes, pieces, tokens)


def test_tiny_documents_are_left_out_and_none_is_in_both_lists():
    arrays, scores = scored([40, 40, 2, 40, 40, 3], [1.0, 3.0, 9.0, 2.0, 4.0, 0.1])
    hardest, easiest = choose_pieces(arrays, scores, 6)
    assert [piece.document for piece in hardest] == [4, 1]
    assert [piece.document for piece in easiest] == [0, 3]


def test_a_long_document_is_cut_into_pieces():
    arrays, scores = scored([4000], [2.0, 1.0, 4.0, 3.0])
    hardest, easiest = choose_pieces(arrays, scores, 1)
    assert hardest == [Piece(0, 2048, 3072)]
    assert easiest == [Piece(0, 1024, 2048)]


def test_a_single_document_is_the_hardest():
    arrays, scores = scored([30], [2.0])
    assert choose_pieces(arrays, scores, 6) == ([Piece(0, 0, 30)], [])


def test_scores_of_another_text_are_refused():
    arrays, scores = scored([40, 50], [1.0, 2.0])
    with pytest.raises(DatasetError, match="of 2 other documents"):
        choose_pieces(replace(arrays, characters=arrays.characters + 1), scores, 2)


def test_a_piece_with_enough_context_scores_as_in_its_document():
    config = tiny_experiment().model
    model = ARCHITECTURES["lstm"](config, 30).eval()
    tokens = np.random.default_rng(0).integers(1, 30, 600).astype(np.uint8)
    one = np.array([600])
    arrays = TokenArrays(tokens, np.array([0, 600]), one, one)
    every = token_nats(model, arrays)
    piece = [Piece(0, 400, 500), Piece(0, 10, 20)]
    for context in (400, 1000):
        found = piece_nats(model, arrays, piece, context)
        assert found[0] == pytest.approx(every[400:500], abs=1e-5)
        assert found[1] == pytest.approx(every[10:20], abs=1e-5)
    assert piece_nats(model, arrays, piece, 50)[0] == pytest.approx(every[400:500], abs=0.01)


def test_a_long_passage_is_cut_to_its_hardest_or_easiest_part():
    text = "word " * 400
    bits = np.ones(len(text))
    bits[1000:1400], bits[200:600] = 5.0, 0.1
    hard = passages._window(text, bits, hardest=True)
    easy = passages._window(text, bits, hardest=False)
    assert 1000 <= hard.start < hard.stop <= 1400
    assert 200 <= easy.start < easy.stop <= 600
    assert text[hard].startswith("word")
