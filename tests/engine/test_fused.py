"""The Triton kernels, in Triton's interpreter; `make triton` runs these tests."""

import os
from collections.abc import Iterator
from importlib.util import find_spec
from types import ModuleType

import numpy as np
import pytest

from rnnlm.config import GenerationConfig, ModelConfig
from rnnlm.constraints import Rules, compile_constraints, rules_of
from rnnlm.engine.fused_network import is_supported
from rnnlm.engine.running import Engine, Precision, choose_engine, open_slots, run
from rnnlm.engine.torch_slots import TorchSlots
from rnnlm.kernels.slots import EndedTexts, in_order
from rnnlm.models import LanguageModel, build
from rnnlm.tokenizer import CharacterTokenizer
from tests.engine import test_stepping
from tests.engine.test_stepping import SETTINGS, TOKENIZER, assert_same, texts_of

if find_spec("triton") is None or os.environ.get("TRITON_INTERPRET") != "1":
    pytest.skip("needs Triton's interpreter: run `make triton`", allow_module_level=True)

import triton

from rnnlm.engine import fused
from rnnlm.engine.fused import FusedSlots
from rnnlm.kernels import triton_drawing, triton_layer

pytestmark = [
    pytest.mark.triton,
    # Triton 3.6's interpreter; an error from numpy 2.4 on
    pytest.mark.filterwarnings("ignore:Conversion of an array with ndim:DeprecationWarning"),
]
CHOSEN = [SETTINGS[0], {"temperature": 0.5, "top_k": 3, "top_p": 0.7}, *SETTINGS[3:]]


RULES = compile_constraints(TOKENIZER, grammar="[a-m ]{2,6}[0-9]+", max_length=12)


@pytest.fixture
def _no_warning(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fail if the fused engine was given up, as torch would then draw the same texts."""
    yield
    assert not caplog.get_records("call")


alone = pytest.mark.usefixtures("_no_warning")


@pytest.fixture(autouse=True)
def _short_bursts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look often at what has ended; a step takes a quarter of a second in the interpreter."""
    monkeypatch.setattr(fused, "BURST", 8)


def model(**settings: object) -> LanguageModel:
    return test_stepping.model(**({"hidden_size": 40} | settings))


def drawn(
    made: LanguageModel, how: Engine, rules: Rules | None = None, count: int = 30, **settings
) -> EndedTexts:
    """Draw texts of at most 12 tokens in 20 slots, which are refilled."""
    config = GenerationConfig(
        **({"temperature": 1.0, "max_length": 12, "batch_size": 20} | settings)
    )
    return in_order(run(open_slots(how, made, TOKENIZER, config, rules), 5, count))


def both(made: LanguageModel, rules: Rules | None = None, **settings) -> list[EndedTexts]:
    engines = (Engine("fused", "int8"), Engine("torch", "int8"))
    return [drawn(made, how, rules, **settings) for how in engines]


@alone
@pytest.mark.parametrize("settings", CHOSEN, ids=str)
def test_the_kernels_draw_the_same_texts_as_torch(settings: dict):
    assert_same(*both(model(architecture="lstm"), **settings))


@alone
@pytest.mark.parametrize(
    "kind",
    [{"architecture": "gru"}, {"architecture": "lstm", "tie_weights": True, "last_size": 24}],
    ids=str,
)
def test_other_layers_draw_the_same_texts_as_torch(kind: dict):
    assert_same(*both(model(**kind)))


@alone
def test_a_grammar_and_several_prefixes_draw_the_same_texts_as_torch():
    rules = rules_of(TOKENIZER, ["", "ab", "h k"], RULES, 12)
    ours, theirs = both(model(architecture="lstm"), rules, repetition_penalty=1.2)
    assert_same(ours, theirs)
    assert ours.complete.any()


@alone
def test_several_programs_draw_the_same_texts_as_one(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(fused, "_INTERPRETED_AT_ONCE", 1024)
    assert_same(*both(model(architecture="lstm"), repetition_penalty=1.3, count=70))


@alone
def test_word_pieces_are_drawn_as_by_torch():
    tokenizer = CharacterTokenizer("".join(map(chr, range(0x400, 0x400 + 700))))
    shape = {"hidden_size": 24, "embedding_size": 24, "tie_weights": True}
    made = build(ModelConfig(architecture="lstm", **shape), tokenizer.vocab_size).eval()
    config = GenerationConfig(top_p=0.9, repetition_penalty=1.3, max_length=12, batch_size=20)
    ours, theirs = (
        in_order(run(open_slots(Engine(kind, "int8"), made, tokenizer, config), 0, 24))
        for kind in ("fused", "torch")
    )
    assert_same(ours, theirs)


@alone
def test_short_texts_fill_many_banks():
    ours, theirs = both(model(architecture="lstm"), max_length=2, count=300)
    assert_same(ours, theirs)


@alone
def test_slots_can_be_filled_again():
    made, config = model(architecture="lstm"), GenerationConfig(max_length=12, batch_size=20)
    slots = open_slots(Engine("fused", "int8"), made, TOKENIZER, config)
    first, second = (in_order(run(slots, *texts)) for texts in ((0, 30), (10, 20)))
    assert texts_of(second) == texts_of(first)[10:]


@alone
@pytest.mark.parametrize("precision", ["bf16", "fp32"])
def test_higher_precisions_draw_nearly_the_same_texts_as_torch(precision: Precision):
    made = model(architecture="lstm")
    ours, theirs = (drawn(made, Engine(kind, precision)) for kind in ("fused", "torch"))
    assert ours.numbers.tolist() == theirs.numbers.tolist()
    is_same = np.array([a == b for a, b in zip(texts_of(ours), texts_of(theirs), strict=True)])
    assert is_same.mean() > 0.8
    rough = {"bf16": 0.5, "fp32": 1e-3}[precision]
    assert np.abs(ours.log_probs - theirs.log_probs)[is_same].max() < rough


def _raise(*_: object, **__: object) -> None:
    raise RuntimeError("no such instruction")


FAULTS = [
    pytest.param(triton_layer, "LARGEST_GATE", 0.5, "int8", {}, "logits", id="cells"),
    pytest.param(triton_layer, "LARGEST_GATE", 0.5, "bf16", {}, "logits", id="cells-bf16"),
    pytest.param(triton_drawing, "MIX_2", 3, "bf16", {}, "token", id="random numbers"),
    pytest.param(triton_drawing, "SEARCHES", 9, "int8", {"top_p": 0.7}, "token", id="threshold"),
    pytest.param(triton_drawing, "BOUNDARY", 1, "int8", {"max_length": 4}, "token", id="ends"),
    pytest.param(triton_drawing, "ENDED_AT", 1, "int8", {"max_length": 4}, "ValueError", id="bank"),
]


@pytest.mark.parametrize(("module", "name", "value", "precision", "settings", "what"), FAULTS)
def test_texts_are_right_although_a_kernel_is_wrong(
    module: ModuleType,
    name: str,
    value: float,
    precision: Precision,
    settings: dict,
    what: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):
    made = model(architecture="lstm")
    right = drawn(made, Engine("torch", precision), **settings)
    monkeypatch.setattr(module, name, triton.language.constexpr(value))
    assert_same(drawn(made, Engine("fused", precision), **settings), right)
    (warning,) = caplog.messages
    assert what in warning and "drawing with torch" in warning


def test_texts_are_right_although_a_kernel_does_not_run(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    made = model(architecture="lstm")
    right = drawn(made, Engine("torch", "int8"))
    monkeypatch.setattr(FusedSlots, "_draw", _raise)
    assert_same(drawn(made, Engine("fused", "int8")), right)
    (warning,) = caplog.messages
    assert "RuntimeError: no such instruction" in warning


def test_models_without_kernels_are_not_fused():
    assert is_supported(model(architecture="gru"))
    assert not is_supported(model(architecture="simple"))
    assert not is_supported(model(architecture="mogrifier"))
    assert choose_engine(model(architecture="lstm"), "int8").kind != "fused"  # on a CPU


def test_costs_of_tokens_are_left_to_torch():
    config = GenerationConfig(max_length=12, batch_size=20)
    slots = open_slots(
        Engine("fused", "int8"), model(architecture="lstm"), TOKENIZER, config, costs=True
    )
    assert isinstance(slots, TorchSlots)
