from hypothesis import given
from hypothesis import strategies as st

from rnnlm.config import SplitConfig
from rnnlm.corpora.splitting import split_of


@given(st.text())
def test_the_split_depends_on_the_document_alone(document: str):
    config = SplitConfig(validation=0.2, test=0.2)
    assert split_of(document, config) == split_of(str(document), config)


def test_shares_come_out_as_asked():
    config = SplitConfig(validation=0.1, test=0.2)
    splits = [split_of(f"document {n}", config) for n in range(10_000)]
    assert abs(splits.count("test") / 10_000 - 0.2) < 0.02
    assert abs(splits.count("validation") / 10_000 - 0.1) < 0.02


def test_a_larger_test_share_keeps_what_was_in_test():
    small, large = SplitConfig(test=0.05), SplitConfig(test=0.2)
    for n in range(500):
        if split_of(str(n), small) == "test":
            assert split_of(str(n), large) == "test"
