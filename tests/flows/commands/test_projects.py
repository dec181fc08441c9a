"""Test that `rnnlm init` writes a project that works, and overwrites nothing."""

from pathlib import Path

import pytest

from flows.commands import projects
from flows.runtime import home as homes
from flows.runtime.home import Home
from flows.servers import deployments
from rnnlm.autoconfig import advise
from rnnlm.config import load
from tests.conftest import call_cli, lines

PROSE = "\n\n".join(
    f"The {size} fox number {number} went over the hill, and it was a fine day for a walk."
    for number in range(400)
    for size in [("small", "large", "shy")[number % 3]]
)


def test_a_new_project_has_a_config_schedules_and_what_git_ignores(tmp_path: Path):
    made = projects.write(tmp_path / "My Novels")
    assert made.written == ("rnnlm.toml", "prefect.yaml", ".gitignore", "README.md")
    assert load(made.folder / "rnnlm.toml").name == "my-novels"
    assert homes.is_project(made.folder)
    names = [entry.name for entry in deployments.read(made.folder / "prefect.yaml")]
    assert names == ["retrain-nightly", "retrain-on-change", "generate-nightly", "housekeeping"]
    assert "mlruns/" in (made.folder / ".gitignore").read_text().splitlines()
    assert "rnnlm sample my-novels" in (made.folder / "README.md").read_text()


@pytest.mark.parametrize("content", [PROSE, lines(300)])
def test_the_config_for_a_text_is_what_train_would_choose(tmp_path: Path, content: str):
    text = tmp_path / "p" / "texts" / "book.txt"
    text.parent.mkdir(parents=True)
    text.write_text(content)
    made = projects.write(tmp_path / "p", text)
    chosen = advise(str(text), Home(tmp_path).sources).experiment
    written = load(made.folder / "rnnlm.toml")
    assert written.corpus.source == "texts/book.txt"
    same = written.model_copy(
        update={"corpus": written.corpus.model_copy(update={"source": str(text)})}
    )
    assert same == chosen


def test_nothing_is_overwritten(tmp_path: Path):
    (tmp_path / "README.md").write_text("mine")
    first = projects.write(tmp_path)
    assert first.kept == ("README.md",)
    (tmp_path / "rnnlm.toml").write_text("# mine too")
    second = projects.write(tmp_path)
    assert second.written == ()
    assert (tmp_path / "README.md").read_text() == "mine"
    assert (tmp_path / "rnnlm.toml").read_text() == "# mine too"


def test_init_says_what_it_wrote_and_what_to_do_next(tmp_path: Path):
    said = call_cli(tmp_path, "init", "novels")
    assert "cd novels && rnnlm train rnnlm.toml" in said.out
    again = call_cli(tmp_path, "init", "novels", "--json").json
    assert again["written"] == []
    assert again["project"] == str(tmp_path / "novels")
    refused = call_cli(tmp_path, "init", "other", "--text", "nothing.txt")
    assert refused.status == 1
    assert refused.err.startswith("error: ")
    assert not (tmp_path / "other").exists()


def test_an_entrypoint_is_a_flow_of_ours_or_a_file(tmp_path: Path):
    path = tmp_path / "prefect.yaml"
    entry = "deployments: [{name: a, entrypoint: ENTRY, work_pool: {name: rnnlm}}]"
    path.write_text(entry.replace("ENTRY", "rnnlm_flows.sweep"))
    assert deployments.read(path)[0].entrypoint == "rnnlm_flows.sweep"
    for wrong in ("rnnlm_flows.swepe", "flows.retrain.retrain", "nothing.py:flow"):
        path.write_text(entry.replace("ENTRY", wrong))
        with pytest.raises(deployments.ServerError, match=r"rnnlm_flows\.retrain"):
            deployments.read(path)


def test_the_deployments_are_those_of_the_current_folder_or_else_of_the_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path / "sub")
    assert deployments.find(Home(tmp_path)) == tmp_path / "prefect.yaml"
    (tmp_path / "sub" / "prefect.yaml").touch()
    assert deployments.find(Home(tmp_path)).resolve() == tmp_path / "sub" / "prefect.yaml"
