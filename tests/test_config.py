from pathlib import Path
from typing import Any

import pytest

from rnnlm.config import Config, Experiment, from_values, load, override, parse_budget
from rnnlm.errors import ConfigError
from tests.conftest import ROOT, TINY, tiny_experiment


@pytest.mark.parametrize(
    ("training", "message"),
    [
        ({"averaging": "triggered", "trigger": 5}, "trigger.*below training.patience"),
        ({"batch_size": 2, "processes": 3}, "at least one each"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(training: dict[str, Any], message: str):
    with pytest.raises(ConfigError, match=message):
        from_values({"name": "x", "corpus": {"source": "x"}, "training": training}, origin="test")


@pytest.mark.parametrize(
    ("corpus", "message"),
    [
        ({"source": "x", "attributes": ["file"]}, "'brand', which is not among corpus.attributes"),
        (
            {"sources": [{"path": "x", "attributes": ["brand"]}, {"path": "y"}]},
            "'brand', which is not among corpus.sources.attributes of y",
        ),
        ({"source": "x", "condition": ["brand", "brand"]}, "each attribute once"),
        ({"source": "x", "condition": ["brand", "hash"]}, "a name other than 'hash'"),
    ],
)
def test_an_invalid_condition_is_refused(corpus: dict[str, Any], message: str):
    with pytest.raises(ConfigError, match=message):
        from_values({"name": "x", "corpus": {"condition": ["brand"], **corpus}}, origin="test")


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.toml")), ids=lambda p: p.stem)
def test_every_shipped_config_loads(path: Path):
    assert load(path).name == path.stem


def test_a_misspelt_key_and_a_bad_number_are_reported_together(tmp_path: Path):
    path = tmp_path / "bad.toml"
    path.write_text(
        '[corpus]\nsource = "x"\n[model]\nhiden_size = 3\n[training]\nbatch_size = -1\n'
    )
    with pytest.raises(ConfigError) as caught:
        load(path)
    message = str(caught.value)
    assert "model.hiden_size (did you mean hidden_size?)" in message
    assert "training.batch_size = -1 (expected greater than or equal to 1)" in message
    assert "\n" not in message


def test_a_wrong_value_of_several_types_is_one_fault():
    with pytest.raises(ConfigError, match=r"unwrap = 'maybe' \(expected boolean or 'auto'\)$"):
        from_values(
            {"name": "a", "corpus": {"source": "a"}}, ("corpus.clean.unwrap=maybe",), origin="a"
        )


def test_overrides_take_precedence_and_are_checked():
    changed = from_values(TINY, ["model.hidden_size=7", "training.budget=9 s"], origin="test")
    assert changed.model.hidden_size == 7
    assert changed.training.budget == "9 s"
    with pytest.raises(ConfigError, match=r"training\.budget = 'soon'"):
        from_values(TINY, ["training.budget=soon"], origin="test")
    with pytest.raises(ConfigError, match="not an assignment"):
        from_values(TINY, ["training.budget"], origin="test")


def test_an_override_does_not_change_the_original_values():
    before = repr(TINY)
    from_values(TINY, ["model.hidden_size=7"], origin="test")
    assert repr(TINY) == before


def test_a_number_with_a_million_digits_is_one_short_line(tmp_path: Path):
    path = tmp_path / "long.toml"
    path.write_text(f'[corpus]\nsource = "x"\n[generation]\ncount = {"9" * 1_000_000}\n')
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert len(str(caught.value)) < 300


def test_a_generation_override_out_of_range_names_the_setting():
    config = tiny_experiment().generation
    assert override(config, {"temperature": 0.0, "top_k": None}).temperature == 0.0
    with pytest.raises(ConfigError, match=r"temperature = -1\.0"):
        override(config, {"temperature": -1.0})


@pytest.mark.parametrize(
    ("text", "amount", "unit"),
    [
        ("90 s", 90, "seconds"),
        ("3min", 180, "seconds"),
        ("1.5 h", 5400, "seconds"),
        ("5M tokens", 5e6, "tokens"),
        ("2e6 tokens", 2e6, "tokens"),
        ("20 epochs", 20, "epochs"),
        ("1 epoch", 1, "epochs"),
    ],
)
def test_budgets_are_parsed(text: str, amount: float, unit: str):
    assert parse_budget(text) == (amount, unit)


@pytest.mark.parametrize("text", ["", "fast", "-3 s", "0 epochs", "3", "3 parsecs", "1e99 s"])
def test_an_invalid_budget_is_refused(text: str):
    with pytest.raises(ValueError, match="a budget such as"):
        parse_budget(text)


def test_every_setting_has_a_docstring():
    def check(model: type[Config]) -> None:
        for name, field in model.model_fields.items():
            assert field.description, f"{model.__name__}.{name} has no docstring"
            if isinstance(field.annotation, type) and issubclass(field.annotation, Config):
                check(field.annotation)

    check(Experiment)


def test_configs_are_frozen():
    with pytest.raises(ValueError, match="frozen"):
        tiny_experiment().name = "other"  # type: ignore[misc]
