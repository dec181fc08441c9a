import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnlm.config import GateConfig
from rnnlm.evaluation.comparison import Comparison
from rnnlm.gate import Weighed, judge

CONFIG = GateConfig(level=0.95, valid_share=0.9, copied_share=0.2, forgotten_bits=0.25)


def comparison(better_by: float, confidence: float) -> Comparison:
    return Comparison(
        better_by=better_by,
        low=better_by - 0.1,
        high=better_by + 0.1,
        confidence=confidence,
        units=9,
    )


GOOD = Weighed(
    against_champion=comparison(0.1, 0.99),
    champion=3,
    against_ngrams=comparison(0.3, 1.0),
    valid_share=0.95,
    copied_share=0.1,
    forgotten_bits=0.1,
)


def test_a_version_that_passes_every_check_wins_and_names_the_loser():
    verdict = judge(CONFIG, GOOD)
    assert verdict.wins
    assert verdict.reason == "0.100 bits better than champion 3"
    assert len(verdict.checks) == 5


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"against_champion": comparison(-0.02, 0.3)}, "0.020 bits worse than champion 3"),
        ({"against_champion": comparison(0.0, 0.0)}, "just as good as champion 3"),
        ({"against_champion": comparison(0.01, 0.8)}, "only 80% sure (95% asked for)"),
        ({"against_ngrams": comparison(-0.2, 0.0)}, "0.200 bits worse than the n-grams"),
        ({"valid_share": 0.5}, "50.0% of its texts are valid (at least 90%)"),
        ({"copied_share": 0.3}, "30.0% of its texts are copies (at most 20%)"),
        ({"forgotten_bits": 0.9}, "0.900 bits worse than champion 3 on the champion's own"),
        ({"obstacle": "not comparable: told brand"}, "not comparable: told brand"),
    ],
)
def test_each_check_alone_rejects_a_version(change: dict, said: str):
    verdict = judge(CONFIG, GOOD.model_copy(update=change))
    assert not verdict.wins
    assert said in verdict.reason
    assert sum(not check.passed for check in verdict.checks) == 1


def test_the_verdict_says_what_was_found_and_what_was_asked_for():
    assert [check.said for check in judge(CONFIG, GOOD).checks] == [
        "0.100 bits better than champion 3",
        "0.300 bits better than the n-grams",
        "95.0% of its texts are valid (at least 90%)",
        "10.0% of its texts are copies (at most 20%)",
        "0.100 bits worse than champion 3 on the champion's own test documents "
        "(at most 0.25 worse)",
    ]
    better = GOOD.model_copy(update={"forgotten_bits": -0.1})
    assert judge(CONFIG, better).checks[-1].said.startswith("0.100 bits better than champion 3")
    worse = GOOD.model_copy(update={"against_champion": comparison(-0.02, 0.3)})
    assert judge(CONFIG, worse).checks[0].said == "0.020 bits worse than champion 3"
    first = GOOD.model_copy(update={"against_champion": None})
    assert judge(CONFIG, first).checks[0].said == "no champion before it"


@pytest.mark.parametrize(
    "change", [{"valid_share": 0.9}, {"copied_share": 0.2}, {"forgotten_bits": 0.25}]
)
def test_a_figure_at_its_limit_passes(change: dict):
    assert judge(CONFIG, GOOD.model_copy(update=change)).wins


def test_all_failed_checks_are_named():
    verdict = judge(CONFIG, GOOD.model_copy(update={"valid_share": 0.1, "copied_share": 0.9}))
    assert "valid" in verdict.reason
    assert "copies" in verdict.reason


def test_the_first_version_has_no_champion_to_beat_but_must_be_good():
    first = GOOD.model_copy(
        update={"against_champion": None, "champion": None, "forgotten_bits": None}
    )
    assert judge(CONFIG, first).wins
    assert not judge(CONFIG, first.model_copy(update={"valid_share": 0.2})).wins


def test_an_unreadable_champion_does_not_block_a_version():
    lost = GOOD.model_copy(update={"against_champion": None, "excuse": "champion 3 is gone"})
    verdict = judge(CONFIG, lost)
    assert verdict.wins
    assert verdict.reason == "champion 3 is gone"


def test_without_the_champions_documents_it_must_still_score_well_on_new_ones():
    unasked = GOOD.model_copy(update={"forgotten_bits": None, "fresh_bits": 5.1})
    verdict = judge(CONFIG, unasked)
    assert not verdict.wins
    assert "5.100 bits worse for champion 3 on the new corpus than on its own" in verdict.reason
    assert judge(CONFIG, unasked.model_copy(update={"fresh_bits": 0.1})).wins


@given(st.floats(0.5, 0.999), st.floats(0.0, 1.0))
def test_a_version_wins_exactly_if_confidence_reaches_the_level(level: float, confidence: float):
    config = GateConfig(level=level)
    weighed = Weighed(against_champion=comparison(0.05, confidence), champion=1)
    assert judge(config, weighed).wins == (confidence >= level)
