"""The command line that a data set's card states."""

import pytest

from flows.chain import request
from rnnlm.config import GenerationConfig

FLAGS = [name for name, field in GenerationConfig.model_fields.items() if field.annotation is bool]


@pytest.mark.parametrize("name", FLAGS)
def test_a_model_after_a_flag_is_named_by_its_version(name: str):
    flag = f"--{name.replace('_', '-')}"
    words = ["generate", flag, "pets", "--prefix", "pets"]
    named = request._naming("pets/3", "pets", words)
    assert named == ["generate", flag, "pets/3", "--prefix", "pets"]


def test_the_value_of_an_option_is_not_taken_for_the_model():
    words = ["generate", "--prefix", "pets", "pets"]
    assert request._naming("pets/3", "pets", words) == ["generate", "--prefix", "pets", "pets/3"]
