"""Test the filters that look at single texts, and how many texts replace the refused ones."""

import re

import numpy as np
import pytest

from rnnlm.audit.reference import Reference, build_reference
from rnnlm.config import override
from rnnlm.errors import GenerationError
from rnnlm.generation import accepting
from rnnlm.generation.accepting import (
    FEWEST_KEPT,
    FEWEST_TRIED,
    MOST_DRAWN_MORE,
    accepted,
    best_of_groups,
    more_to_draw,
)
from rnnlm.tokenizer import CharacterTokenizer
from tests.conftest import ingest_text
from tests.generation.jobs import CONFIG

COPIED = "the owl sat on the old wall all night and is there still, until the morning comes"
NUMBERED = "the owl 5551234567 is"
TEXTS = ["the owl is", COPIED, NUMBERED, "the zibbra is", " ", "sat the owl"]


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Reference:
    folder = tmp_path_factory.mktemp("reference")
    text = "".join(f"{n} times {COPIED}, 5551234567\n" for n in range(40))
    (folder / "text").write_text(text)
    corpus = ingest_text(folder / "text", folder / "corpus", documents="lines")
    tokenizer = CharacterTokenizer("".join(sorted({*text} - {"\n"})))
    return build_reference(corpus.uri, corpus.digest, "text", tokenizer, folder / "index")


@pytest.mark.parametrize(
    ("filters", "refused"),
    [
        ({}, []),
        ({"required": ("owl",)}, ["the zibbra is", " "]),
        ({"required": ("owl", "is")}, ["the zibbra is", " ", "sat the owl"]),
        ({"valid_only": True}, [" "]),
        ({"novel_only": True}, [COPIED, NUMBERED]),
        ({"no_copied_numbers": True}, [NUMBERED]),
        ({"known_words_only": True}, ["the zibbra is"]),
        ({"known_words_only": True, "valid_only": True}, ["the zibbra is", " "]),
        ({"novel_only": True, "required": ("sat",)}, [text for text in TEXTS if text != TEXTS[-1]]),
    ],
)
def test_each_filter_refuses_what_it_names(filters: dict, refused: list[str], reference: Reference):
    passed = accepted(TEXTS, override(CONFIG, filters), "text", reference)
    assert [text for text, kept in zip(TEXTS, passed, strict=True) if not kept] == refused


def test_without_a_training_text_nothing_is_compared_with_it():
    config = override(
        CONFIG, {"novel_only": True, "no_copied_numbers": True, "known_words_only": True}
    )
    assert accepted(TEXTS, config, "text").all()


def test_texts_are_valid_for_their_form():
    config = override(CONFIG, {"valid_only": True})
    assert accepted(["dim red 1 2 3", "dim red"], config, "color").tolist() == [True, False]


def test_the_best_text_of_a_group_has_the_highest_log_probability_per_character():
    texts = ["abcd", "ab", "a", "abc", "", "ab", "a", "a", "a"]
    nats = np.array([-4.0, -3.0, -2.0, -3.0, -0.5, -0.8, -1.0, -0.1, -0.1])
    passed = np.array([1, 1, 1, 1, 1, 1, 0, 0, 0], np.bool_)
    best = best_of_groups(passed, texts, nats, 3)
    assert np.flatnonzero(best).tolist() == [0, 5]
    assert best_of_groups(passed, texts, nats, 1).tolist() == passed.tolist()
    of_two = best_of_groups(passed[:6], texts[:6], nats[:6], 2)
    assert np.flatnonzero(of_two).tolist() == [0, 3, 5]
    passed[0] = False
    assert np.flatnonzero(best_of_groups(passed, texts, nats, 3)).tolist() == [1, 5]


@pytest.mark.parametrize(("rate", "wanted"), [(0.9, 1000), (0.3, 100), (0.5, 777)])
def test_enough_texts_are_drawn_to_replace_the_refused(rate: float, wanted: int):
    flags = np.random.default_rng(0).random(300) < rate
    more = more_to_draw(flags, 300, wanted)
    needed = (wanted - flags.sum()) / flags.mean()
    assert min(needed, MOST_DRAWN_MORE * 300) <= more <= min(1.03 * needed, MOST_DRAWN_MORE * 300)


def test_the_rate_is_that_of_the_texts_drawn_last(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(accepting, "FEWEST_TRIED", 100)
    flags = np.array([True] * 1000 + [False, True] * 100)
    assert more_to_draw(flags, 200, 1150) == 102  # 50 are missing, and every second is refused
    assert more_to_draw(flags, 20, 1150) == 102
    assert more_to_draw(flags[:1000], 1000, 1100) == 102


@pytest.mark.parametrize(("texts", "latest", "judged"), [(2, 1, 1), (4, 0, 2), (4, 3, 3)])
def test_a_job_gives_up_if_nearly_all_texts_drawn_last_are_refused(
    texts: int, latest: int, judged: int
):
    flags = np.zeros(texts * FEWEST_TRIED, np.bool_)
    flags[: -judged * FEWEST_TRIED] = True
    fewest = round(FEWEST_KEPT * judged * FEWEST_TRIED)
    flags[-fewest:] = True
    assert more_to_draw(flags, latest * FEWEST_TRIED, 10**6) == MOST_DRAWN_MORE * len(flags)
    flags[-1] = False
    message = (
        f"of the last {judged}0,000 texts drawn only {fewest - 1} could be kept "
        f"({flags.sum():,} of 1,000,000 kept so far); raise the temperature, lower the count, "
        "drop a filter, or give the required text as a prefix"
    )
    with pytest.raises(GenerationError, match=f"^{re.escape(message)}$"):
        more_to_draw(flags, latest * FEWEST_TRIED, 10**6)


def test_a_job_does_not_give_up_before_it_has_tried_enough_texts():
    flags = np.zeros(FEWEST_TRIED - 1, np.bool_)
    assert more_to_draw(flags, 1, 10) == round(10 / FEWEST_KEPT * 1.02)
    with pytest.raises(GenerationError, match="only 0 could be kept"):
        more_to_draw(np.zeros(FEWEST_TRIED, np.bool_), 1, 10)
