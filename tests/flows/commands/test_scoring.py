import json
import shutil
from pathlib import Path

import pytest

from rnnlm.config import CorpusConfig
from rnnlm.evaluation.reading import read_text
from tests.conftest import fork_cli, lines


def test_a_file_is_scored_with_an_empty_header(tmp_path: Path):
    (tmp_path / "text").write_text(lines(10))
    config = CorpusConfig(source="x", attributes=("a", "b"), condition=("a", "b"))
    expected = [f"\t\t{line}" for line in lines(10).splitlines()]
    assert [*read_text(tmp_path / "text", config, tmp_path)] == expected
    plain = CorpusConfig(source="x")
    assert [*read_text(tmp_path / "text", plain, tmp_path)] == lines(10).splitlines()


def test_records_are_rendered_like_those_of_the_corpus(tmp_path: Path):
    (tmp_path / "text.jsonl").write_text('{"title": "A", "body": "B", "text": "C"}\n')
    config = CorpusConfig(source="x", render="{title}: {body}")
    assert [*read_text(tmp_path / "text.jsonl", config, tmp_path)] == ["A: B"]
    (tmp_path / "colors.txt").write_text("warm sand 179 154 124\n")
    of_catalog = CorpusConfig(source="colors", render="color-both", documents="lines")
    found = [*read_text(tmp_path / "colors.txt", of_catalog, tmp_path)]
    assert found == ["warm sand 179 154 124"]


def test_a_conditioned_model_scores_like_its_shards_and_does_not_replace_the_champion(
    trained: Path, tmp_path: Path
):
    for name in ("data", "mlruns"):
        shutil.copytree(trained / name, tmp_path / name)
    for name in ("tiny.txt", "tiny.toml"):
        shutil.copy(trained / name, tmp_path / name)
    settings = ["--set", 'corpus.attributes=["file"]', "--set", 'corpus.condition=["file"]']
    finished = fork_cli(tmp_path, "train", "tiny.toml", "--json", *settings)
    assert finished.status == 0, finished.err
    result = finished.json
    assert (result["version"], result["alias"]) == (2, "challenger")
    assert "not comparable: champion 1 is conditioned on no attributes" in result["reason"]
    finished = fork_cli(tmp_path, "evaluate", "tiny/2", "--json")
    assert finished.status == 0, finished.err
    scored = json.loads(finished.out)
    for name in ("characters", "bytes", "tokens"):
        assert scored[name] == result["test"][name]
    assert scored["characters"] > result["corpus"]["characters"]["test"]
    assert scored["bits_per_character"] == pytest.approx(result["test"]["bits_per_character"])
