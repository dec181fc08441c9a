import copy
from typing import Any

import pytest

from rnnlm import tokenizer
from rnnlm.errors import TokenizerError
from rnnlm.tokenizer import BPETokenizer, CharacterTokenizer, WordTokenizer

BPE = BPETokenizer.learn(["the cat sat on the mat. " * 20], 270).to_json()


def broken(**changes: Any) -> dict[str, Any]:
    value = copy.deepcopy(BPE)
    value["library"]["model"].update(changes)
    return value


def vocab() -> dict[str, int]:
    return dict(BPE["library"]["model"]["vocab"])


@pytest.mark.parametrize(
    "saved", [BPE, CharacterTokenizer("abß").to_json(), WordTokenizer(["a"], "pieces").to_json()]
)
def test_a_tokenizer_survives_saving(saved: dict[str, Any]):
    again = tokenizer.from_json(saved)
    assert again.to_json() == saved
    assert (
        again.encode("the cat").tolist()
        == tokenizer.from_json(again.to_json()).encode("the cat").tolist()
    )


def test_merges_of_earlier_versions_of_the_library_are_read():
    old = broken(merges=[" ".join(merge) for merge in BPE["library"]["model"]["merges"]])
    assert tokenizer.from_json(old).to_json() == BPE


@pytest.mark.parametrize(
    "saved",
    [
        None,
        [],
        {"kind": "bpe"},
        {"kind": "bpe", "library": {}},
        {"kind": "bpe", "library": {"model": {"type": "BPE", "vocab": {}, "merges": []}}},
        {"kind": "bpe", "library": {"model": {"type": "Unigram", "vocab": [["x", 0.0]]}}},
        broken(vocab={}),
        broken(vocab={name: number + 1 for name, number in vocab().items()}),
        broken(vocab=dict.fromkeys(vocab(), 0)),
        broken(vocab=dict.fromkeys(vocab(), 2 ** 31)),
        broken(vocab={**vocab(), "\u4e2d": len(vocab())}),
        broken(vocab={**vocab(), "": len(vocab())}),
        broken(vocab={name: number for name, number in vocab().items() if name != "a"}),
        broken(merges=[["x", "not there"]]),
        broken(merges=["nospace"]),
        broken(merges=[[]]),
        broken(merges=None),
        {"kind": "character"},
        {"kind": "character", "characters": ["a"]},
        {"kind": "character", "characters": "\ud800"},
        {"kind": "character", "characters": "a" * 2_000_000},
        {"kind": "word", "style": "pieces", "words": [1]},
        {"kind": "word", "style": "pieces", "words": ["a", "a"]},
        {"kind": "word", "style": "pieces", "words": ["\udc80"]},
        {"kind": "word", "style": "other", "words": []},
        {"kind": "word", "style": "pieces", "words": ["a" * 100_000]},
    ],
)  # fmt: skip
def test_a_damaged_tokenizer_is_refused_in_one_line(saved: Any, capfd: pytest.CaptureFixture[str]):
    with pytest.raises(TokenizerError, match="not the JSON of a") as caught:
        tokenizer.from_json(saved)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400
    assert capfd.readouterr().err == ""  # a panic in native code would print
