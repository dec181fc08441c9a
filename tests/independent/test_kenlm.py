"""Test n-gram probabilities against KenLM, which reads them from an exported ARPA file."""

import math
from pathlib import Path

import numpy as np
import pytest

from rnnlm import arpa
from rnnlm.dataset import from_texts
from rnnlm.evaluation.scoring import evaluate
from rnnlm.ngram import score
from rnnlm.tokenizer import BPETokenizer, ByteTokenizer, CharacterTokenizer, Tokenizer
from rnnlm.tokenizer.word import WordTokenizer
from tests.conftest import lines
from tests.test_arpa import fitted

kenlm = pytest.importorskip("kenlm", reason="the extra `peers` is missing; `make peers` adds it")

TEXTS = [line.replace("7", " été\t") for line in lines(300).splitlines()]
TRAIN = TEXTS[::2]
TEST = [*TEXTS[1::2], "", "warm", "zebra 12", TEXTS[0] + TEXTS[4]]
TOKENIZERS: dict[str, Tokenizer] = {
    "character": CharacterTokenizer.learn(TRAIN),
    "byte": ByteTokenizer(),
    "word": WordTokenizer.learn(TRAIN, "pieces", 1000, 2),
    "bpe": BPETokenizer.learn(TRAIN, 300),
}


@pytest.mark.parametrize("order", [2, 3, 6])
@pytest.mark.parametrize("kind", TOKENIZERS)
def test_kenlm_gives_each_token_the_same_probability(kind: str, order: int, tmp_path: Path):
    tokenizer = TOKENIZERS[kind]
    loaded = fitted(TRAIN, tokenizer, order)
    arpa.write(tmp_path / "x.arpa", loaded)
    queried = kenlm.Model(str(tmp_path / "x.arpa"))
    assert queried.order == order
    sentences = [arpa.sentence(tokenizer, text) for text in TEST]
    found = [
        -probability * math.log(10.0)
        for sentence in sentences
        for probability, _, _ in queried.full_scores(sentence)
    ]
    arrays = from_texts(tokenizer, TEST)
    np.testing.assert_allclose(found, score(loaded.model.tables, arrays), rtol=2e-6, atol=2e-6)
    # KenLM's perplexity counts the closing boundary as a word, as ours does.
    ours = evaluate(loaded.model, arrays).score
    theirs = -sum(queried.score(sentence) for sentence in sentences) * math.log(10.0)
    assert ours.nll_nats == pytest.approx(theirs, rel=1e-6)
    alone = evaluate(loaded.model, from_texts(tokenizer, TEST[:1])).score
    assert alone.perplexity == pytest.approx(queried.perplexity(sentences[0]), rel=1e-5)
