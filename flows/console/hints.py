"""Hints on what to try if a network loses to n-grams, or if many of its texts are copies."""

from collections.abc import Iterator, Mapping
from typing import Any

from flows.console import printing
from rnnlm.bases import shipped
from rnnlm.bases.fitting import NO_BASE

OVERFIT_SHARE = 0.7
"""Share of the training steps. If the checkpoint that scored best on validation was made before
this share, the network overfitted afterwards."""
MANY_COPIES = 0.25
"""Share of texts that occur in the training text, from which a hint says how to leave them out."""
SHORT_CHARACTERS = 100_000
"""Characters below which a training text is too short to learn spelling from."""
MOST_BYTES = 1.1
"""A text with at least this many bytes per character in UTF-8 is not English: unaccented Latin
letters take one byte, letters of other scripts two or more."""


def what_to_try(result: Mapping[str, Any]) -> list[str]:
    """Return hints for the user, the most promising first.

    The list is empty if the model predicts the test split better than the n-gram model does, or
    is an n-gram model itself, and few of its texts are copies.

    Args:
        result: Summary of a training run; see `flows.retrain.summary`.
    """
    test = result["test"]
    hints: list[str] = []
    is_network = result["training"]["architecture"] != "ngram"
    if is_network and test["bits_per_character"] >= test["ngram_bits_per_character"]:
        bytes_per_character = test["bits_per_character"] / test["bits_per_byte"]
        may_be_english = bytes_per_character < MOST_BYTES
        characters = result["corpus"]["characters"]["train"]
        hints += _hints(result["training"], characters, may_be_english)
    if (result["generated"]["copied_share"] or 0.0) >= MANY_COPIES:
        program = printing.program()
        hints.append(f"new texts only: {program} generate {result['model']} --novel-only")
    return hints


def _hints(training: Mapping[str, Any], characters: int, may_be_english: bool) -> Iterator[str]:
    share = training["best_step"] / max(1, training["step"])
    if may_be_english and training["base"] == NO_BASE and shipped("english").is_file():
        yield "start from English: --set training.base=english"
    if share >= OVERFIT_SHARE:
        yield f"train longer than {training['budget']}: --set training.budget=…"
    else:
        yield (
            f"more dropout, as the network overfitted after {share:.0%} of its training: "
            f"--set model.dropout={min(0.6, training['dropout'] + 0.1):.1f}"
        )
    if characters < SHORT_CHARACTERS:
        yield f"more text: {characters:,} characters are few"
