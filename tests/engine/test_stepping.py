import ast

import numpy as np
import pytest
import torch

from rnnlm.config import GenerationConfig, ModelConfig
from rnnlm.engine.running import Engine, open_slots, run
from rnnlm.engine.torch_slots import LOOK_EVERY, TorchSlots
from rnnlm.kernels import slots
from rnnlm.kernels.native import PORTABLE, SETS, load, names, native_available
from rnnlm.kernels.slots import EndedTexts, in_order
from rnnlm.models import LanguageModel, build
from rnnlm.tokenizer import CharacterTokenizer
from tests.conftest import ROOT

TOKENIZER = CharacterTokenizer("".join(map(chr, range(32, 127))))
KINDS = [
    {"architecture": "lstm"},
    {"architecture": "gru"},
    {"architecture": "simple", "nonlinearity": "sigmoid"},
    {"architecture": "simple", "nonlinearity": "tanh"},
    {"architecture": "lstm", "tie_weights": True, "last_size": 24},
]
SETTINGS = [
    {},
    {"temperature": 0.5, "top_k": 3},
    {"top_p": 0.7, "min_length": 20},
    {"min_p": 0.2, "repetition_penalty": 1.3},
    {"temperature": 0.0},
    {"prefix": "ab c"},
]


def model(**settings) -> LanguageModel:
    torch.manual_seed(1)
    sizes = {"hidden_size": 70, "embedding_size": 24, "num_layers": 2, "learned_start": True}
    made = build(ModelConfig(**(sizes | settings)), TOKENIZER.vocab_size).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.mul_(3.0)
    return made


def drawn(made: LanguageModel, how: Engine, count: int = 20, **settings) -> EndedTexts:
    config = GenerationConfig(**({"temperature": 1.0, "max_length": 40} | settings))
    return in_order(run(open_slots(how, made, TOKENIZER, config), 5, count))


def cost(made: LanguageModel, how: Engine, **settings) -> EndedTexts:
    config = GenerationConfig(**({"max_length": 40} | settings))
    return in_order(run(open_slots(how, made, TOKENIZER, config, costs=True), 0, 150))


def texts_of(ended: EndedTexts) -> list[list[int]]:
    ends = np.cumsum(ended.lengths)
    return [
        ended.tokens[end - n : end].tolist() for end, n in zip(ends, ended.lengths, strict=True)
    ]


def assert_same(ours: EndedTexts, theirs: EndedTexts) -> None:
    for name in EndedTexts.__dataclass_fields__:
        assert np.array_equal(getattr(ours, name), getattr(theirs, name)), name


@pytest.mark.skipif(not native_available(), reason="no compiler made native code")
@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_torch_and_native_code_compute_the_same_bits(kind: dict, settings: dict):
    made = model(**kind)
    native = drawn(made, Engine("native", "int8"), **settings)
    assert_same(native, drawn(made, Engine("torch", "int8"), **settings))


@pytest.mark.skipif(not native_available(), reason="no compiler made native code")
@pytest.mark.parametrize("settings", [{}, {"top_p": 0.7, "prefix": "ab c", "temperature": 0.5}])
def test_the_costs_of_its_tokens_add_up_to_what_a_text_costs(settings: dict):
    made = model(architecture="lstm")
    native, plain = (cost(made, Engine(kind, "int8"), **settings) for kind in ("native", "torch"))
    assert_same(native, plain)
    ends = np.cumsum(native.lengths)
    sums = np.add.reduceat(native.token_nats, ends - native.lengths)
    assert len(native.token_nats) == len(native.tokens)
    assert (native.token_nats >= 0).all()
    assert np.allclose(sums, -native.log_probs, rtol=1e-5)


@pytest.mark.parametrize("build_name", names())
@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_every_build_computes_the_same_bits(
    build_name: str, kind: dict, monkeypatch: pytest.MonkeyPatch
):
    made = model(**kind)
    expected = drawn(made, Engine("torch", "int8"), 75, top_p=0.9)
    monkeypatch.setattr(slots, "library", lambda: load(build_name))
    assert_same(drawn(made, Engine("native", "int8"), 75, top_p=0.9), expected)


@pytest.mark.parametrize("size", [3, 62, 64, 130])
def test_every_depth_of_a_product_gives_the_same_bits(size: int, monkeypatch: pytest.MonkeyPatch):
    made = model(architecture="lstm", hidden_size=size)
    expected = drawn(made, Engine("torch", "int8"), 40)
    for build_name in names():
        monkeypatch.setattr(slots, "library", lambda name=build_name: load(name))
        assert_same(drawn(made, Engine("native", "int8"), 40), expected)


def test_every_instruction_set_has_a_build():
    sources = ast.parse((ROOT / "setup.py").read_text())
    words = {node.value for node in ast.walk(sources) if isinstance(node, ast.Constant)}
    assert {*SETS, PORTABLE} <= words


@pytest.mark.skipif(not native_available(), reason="no compiler made native code")
@pytest.mark.parametrize("precision", ["bf16", "fp32"])
def test_torch_and_native_code_draw_nearly_the_same_at_higher_precision(precision: str):
    made = model(architecture="lstm")
    ours, theirs = (drawn(made, Engine(kind, precision)) for kind in ("native", "torch"))
    is_same = np.array([a == b for a, b in zip(texts_of(ours), texts_of(theirs), strict=True)])
    assert is_same.mean() > 0.8
    rough = {"bf16": 0.5, "fp32": 1e-3}[precision]
    assert np.abs(ours.log_probs - theirs.log_probs)[is_same].max() < rough


@pytest.mark.parametrize("look_every", [2, 7, 60])  # 60: after all texts have ended
def test_texts_do_not_depend_on_how_often_slots_are_checked(look_every: int, monkeypatch):
    made = model(architecture="gru")
    expected = drawn(made, Engine("torch", "int8"), top_p=0.9, prefix="ab")
    monkeypatch.setitem(LOOK_EVERY, "cpu", look_every)
    assert_same(drawn(made, Engine("torch", "int8"), top_p=0.9, prefix="ab"), expected)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_recorded_step_draws_what_a_plain_one_does(monkeypatch: pytest.MonkeyPatch):
    made = model(architecture="lstm").cuda()
    recorded = drawn(made, Engine("torch", "fp32"), prefix="ab")
    monkeypatch.setattr(TorchSlots, "_step", TorchSlots.advance)
    assert_same(drawn(made, Engine("torch", "fp32"), prefix="ab"), recorded)
