import re
import subprocess

import numpy as np
import pytest
import torch

from rnnlm.checkpoint import LoadedModel
from rnnlm.config import ModelConfig
from rnnlm.engine.packing import pack, table_factors
from rnnlm.errors import CheckpointError, GenerationError
from rnnlm.models import build
from rnnlm.play import Named, compiling, write_page
from rnnlm.play.arrays import _unsure, network_arrays
from rnnlm.play.describing import describe
from rnnlm.tokenizer import CharacterTokenizer
from tests.play.in_node import loaded_model

LETTERS = CharacterTokenizer("abcdefghijklmnopqrstuvwxyz ")


def small(**settings) -> LoadedModel:
    sizes = {"hidden_size": 20, "embedding_size": 8} | settings
    return loaded_model(build(ModelConfig(**sizes), LETTERS.vocab_size).eval(), LETTERS)


def test_a_page_is_complete_and_refers_to_no_other_address():
    page = write_page(small(), Named("A & B <i>")).decode()
    assert '<h1 dir="auto">A &amp; B &lt;i&gt;</h1>' in page
    assert not re.search(r"\$(title|summary|style|model|engine|worker|script)\b", page)
    assert {*re.findall(r"\bhttps?:[^\s'\"]+", page)} == {"http://www.w3.org/2000/svg"}
    assert "default-src 'none'" in page
    assert page.count("</script>") == 4
    assert page.isascii() or 'charset="utf-8"' in page


@pytest.mark.parametrize("architecture", ["mogrifier", "mingru", "ngram"])
def test_a_model_that_the_page_cannot_run_is_refused_in_one_line(architecture: str):
    with pytest.raises(GenerationError, match=f"kind {architecture}") as refused:
        write_page(small(architecture=architecture), Named("x"))
    assert "\n" not in str(refused.value)


def test_a_model_with_broken_weights_is_refused():
    loaded = small()
    with torch.no_grad():
        next(loaded.model.parameters()).fill_(torch.nan)
    with pytest.raises(CheckpointError, match="infinite or NaN"):
        write_page(loaded, Named("x"))


@pytest.mark.parametrize("architecture", ["lstm", "gru", "simple"])
def test_entries_of_the_table_are_the_same_in_any_order_of_additions(architecture: str):
    torch.manual_seed(1)
    config = ModelConfig(architecture=architecture, hidden_size=90, embedding_size=300)
    model = build(config, 700).eval()
    network = pack(model, torch.int8, None)
    factors, whole = table_factors(model, network), network.layers[0].added
    unsure = np.zeros(whole.size, bool)
    unsure[_unsure(whole, factors)] = True
    assert 0 < unsure.sum() < 0.01 * len(unsure)
    rows, inputs = factors.embeddings.astype(np.float64), factors.inputs.astype(np.float64)
    ascending = np.arange(300)
    for order in (ascending, ascending[::-1], np.random.default_rng(1).permutation(300)):
        sums = np.zeros(whole.shape)
        for feature in order.tolist():
            sums += rows[:, feature, None] * inputs[feature]
        computed = ((sums + factors.bias) * factors.rates - factors.shifts).astype(np.float32)
        differs = (computed != whole).reshape(-1)
        assert not (differs & ~unsure).any()


def test_the_smaller_form_of_the_table_is_sent():
    for tokens, features, is_computed in ((5000, 8, True), (50, 200, False)):
        config = ModelConfig(hidden_size=20, embedding_size=features)
        sizes, arrays = network_arrays(build(config, tokens).eval(), None)
        assert ("features" in sizes) == ("table.inputs" in arrays) == is_computed
        assert ("0.added" in arrays) != is_computed


def test_a_page_writes_many_short_texts_or_one_long_text_at_once():
    for length, texts in ((20, 24), (200, 12), (100_000, 1)):
        loaded = loaded_model(small().model, LETTERS, max_length=length)
        assert describe(loaded, Named("x"))[0]["texts"] == texts


def test_a_command_is_shown_only_if_it_would_write_the_same_texts():
    filters = [{name: True} for name in ("unique", "no_copied_numbers")]
    for settings, reference in (({}, "a/1"), ({"best_of": 2}, ""), *((f, "") for f in filters)):
        loaded = loaded_model(small().model, LETTERS, **settings)
        assert describe(loaded, Named("a", "a/1"))[0]["reference"] == reference


@pytest.mark.slow
@pytest.mark.skipif(compiling.compiler() is None, reason=f"no {compiling.CLANG} on this machine")
def test_the_committed_engine_is_what_its_source_compiles_to(tmp_path):
    try:
        compiling.compile_engine(tmp_path / "new.wasm")
    except subprocess.CalledProcessError:
        pytest.skip("clang cannot make WebAssembly here")
    assert (tmp_path / "new.wasm").read_bytes() == compiling.COMPILED.read_bytes()
