from pathlib import Path

import numpy as np
import pytest

from rnnlm.canaries import REPEATS, Canary, canaries_of, plant
from rnnlm.config import Experiment
from rnnlm.dataset import from_texts
from rnnlm.errors import ConfigError
from rnnlm.tokenizer import ByteTokenizer, CharacterTokenizer, Tokenizer, WordTokenizer
from rnnlm.tokens import TokenArrays
from tests.conftest import tiny_experiment

DOCUMENTS = [f"document {n}" for n in range(50)]


def experiment_of(canaries: int, seed: int = 1, **corpus) -> Experiment:
    return tiny_experiment(training={"canaries": canaries, "seed": seed}, corpus=corpus)


def decoded(arrays: TokenArrays, tokenizer: Tokenizer) -> list[str]:
    bounds = zip(arrays.offsets[:-1], arrays.offsets[1:], strict=True)
    return [tokenizer.decode(arrays.tokens[start : end - 1].tolist()) for start, end in bounds]


def test_canaries_are_distinct_and_decided_by_the_seed():
    tokenizer = ByteTokenizer()
    found = canaries_of(experiment_of(9), tokenizer)
    assert [canary.repeats for canary in found] == [*REPEATS, *REPEATS, REPEATS[0]]
    assert len({canary.beginning for canary in found}) == len({c.secret for c in found}) == 9
    assert all(len(c.secret.replace(" ", "")) == 16 for c in found)
    assert canaries_of(experiment_of(9), tokenizer) == found
    assert canaries_of(experiment_of(4), tokenizer) == canaries_of(experiment_of(4), tokenizer)
    assert not {*found} & {*canaries_of(experiment_of(9, seed=2), tokenizer)}
    assert canaries_of(experiment_of(0), tokenizer) == ()


def test_canaries_are_spelled_with_what_the_vocabulary_has():
    lower = CharacterTokenizer("abcdefghijklmnopqrstuvwxyz ")
    canary = canaries_of(experiment_of(1), lower)[0]
    assert canary.text == canary.text.lower() and not any(c.isdigit() for c in canary.text)
    assert canary.entropy_bits == pytest.approx(16 * np.log2(26))
    for tokenizer in (CharacterTokenizer("абв 0123456789"), WordTokenizer(["a", "b"], "pieces")):
        with pytest.raises(ConfigError, match=r"training\.canaries needs a vocabulary"):
            canaries_of(experiment_of(1), tokenizer)


@pytest.mark.parametrize("condition", [(), ("brand",)])
@pytest.mark.parametrize("is_mapped", [False, True])
def test_each_canary_is_planted_as_often_as_it_says(
    tmp_path: Path, condition: tuple[str, ...], is_mapped: bool
):
    tokenizer, experiment = ByteTokenizer(), experiment_of(4, condition=condition)
    plain = from_texts(tokenizer, DOCUMENTS)
    if is_mapped:
        np.save(tmp_path / "tokens.npy", plain.tokens)
        mapped = np.load(tmp_path / "tokens.npy", mmap_mode="r")
        plain = TokenArrays(mapped, plain.offsets, plain.characters, plain.bytes)
    planted = plant(plain, experiment, tokenizer, tmp_path / "out")
    assert isinstance(planted.tokens, np.memmap) == is_mapped
    texts, canaries = decoded(planted, tokenizer), canaries_of(experiment, tokenizer)
    assert [text for text in texts if text in DOCUMENTS] == DOCUMENTS
    lines = {("\t" if condition else "") + canary.text: canary for canary in canaries}
    for line, canary in lines.items():
        assert texts.count(line) == canary.repeats
    assert len(texts) == len(DOCUMENTS) + sum(canary.repeats for canary in canaries)
    assert planted.tokens.dtype == plain.tokens.dtype
    assert planted.characters.tolist() == [len(text) for text in texts]
    assert planted.bytes.tolist() == [len(text.encode()) for text in texts]
    assert not [*tmp_path.glob("out/*")]
    again = plant(plain, experiment, tokenizer, tmp_path)
    assert (again.tokens == planted.tokens).all()
    places = [n for n, text in enumerate(texts) if text not in DOCUMENTS]
    assert places != [*range(places[0], places[0] + len(places))]  # they are spread


def test_without_canaries_the_documents_stay_as_they_are(tmp_path: Path):
    plain = from_texts(ByteTokenizer(), DOCUMENTS)
    assert plant(plain, experiment_of(0), ByteTokenizer(), tmp_path) is plain


def test_a_canary_is_one_line():
    canary = Canary("The number of Bo is", "1234 5678 9012 3456", 4, "0123456789")
    assert canary.text == "The number of Bo is 1234 5678 9012 3456"
