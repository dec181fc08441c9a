import json
from pathlib import Path

import pytest

from rnnlm.config import TokenizerConfig
from rnnlm.dataset import tokenize
from rnnlm.errors import DatasetError
from rnnlm.report import read_report, write_report
from tests.conftest import ingest_text, lines


@pytest.mark.parametrize("kind", ["character", "byte", "word", "bpe"])
def test_the_report_describes_the_corpus(tmp_path: Path, kind: str):
    (tmp_path / "text").write_text(lines(200) + "twice <b>&\n" * 2)
    corpus = ingest_text(tmp_path / "text", tmp_path / "corpus")
    config = TokenizerConfig.model_validate({"kind": kind, "vocab_size": 300})
    tokens = tokenize(corpus.uri, corpus.digest, config, tmp_path / "tokens")
    report = write_report("my corpus", corpus, tokens, tmp_path / "tokens")
    assert read_report(tokens.uri) == report
    page = Path(report.path).read_text()
    assert f"{corpus.documents['train']:,}" in page
    assert "dropped: repeated" in page
    assert "<b>" not in page
    assert Path(report.plot).read_bytes().startswith(b"\x89PNG")
    assert sum(report.length_counts) == corpus.documents["train"]
    per_token = corpus.characters["train"] / tokens.tokens["train"]
    assert report.characters_per_token == pytest.approx(per_token, abs=1e-4)
    assert len(report.samples) == 10
    assert all(sample.endswith("<eos>") for sample in report.samples)


def test_the_error_for_a_missing_report_says_what_to_run(tmp_path: Path):
    with pytest.raises(DatasetError, match="rnnlm inspect"):
        read_report(str(tmp_path))
    (tmp_path / "report.json").write_text(json.dumps({"path": 1}))
    with pytest.raises(DatasetError, match="rnnlm inspect"):
        read_report(str(tmp_path))
