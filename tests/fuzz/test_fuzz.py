"""A share of the fuzzer's cases: 20,000 where `CI` is set, else 2,000; `make fuzz` runs a million.

A failure is printed with the reduced input. Mend the reader, and keep the input as a test next to
those of the reader.
"""

import os

import pytest

from tests.fuzz.running import fuzz, shares
from tests.fuzz.target import Target
from tests.fuzz.targets import TARGETS

CASES = 20_000 if "CI" in os.environ else 2_000


@pytest.mark.parametrize(
    ("target", "cases"),
    [
        pytest.param(*pair, id=pair[0].name)
        for pair in zip(TARGETS, shares(TARGETS, CASES), strict=True)
    ],
)
def test_no_input_ends_in_an_unhandled_error(target: Target, cases: int):
    outcome = fuzz(target, cases)
    assert not outcome.failure, outcome.failure
    assert outcome.cases >= cases
