"""Test which folder is the home, that commands say so, and that a home can be moved."""

import io
import os
import shutil
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
from pydantic import BaseModel

from flows import registry
from flows.chain.records import Step, attempt
from flows.cli import main
from flows.registry import Version
from flows.runtime import home as homes
from flows.runtime.home import FORMAT_FILE, PROJECT_FILE, Home
from flows.tracking import connect


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with the subfolder `a/b`, which is the current folder."""
    monkeypatch.delenv("RNNLM_HOME", raising=False)
    (tmp_path / PROJECT_FILE).touch()
    (tmp_path / "a" / "b").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "a" / "b")
    return tmp_path


def use(folder: Path) -> None:
    """Make a folder look like a home that has been used."""
    (folder / "data").mkdir(parents=True)
    (folder / "mlruns").mkdir()
    (folder / "data" / FORMAT_FILE).write_text('{"format": 1}')


def called(*arguments: str) -> tuple[str, str]:
    """Run the command line in this process and the current folder; return what it prints."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["rnnlm", *arguments])
        with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit):
            main()
    return out.getvalue(), err.getvalue()


def test_the_nearest_project_upward_is_the_home(project: Path):
    assert homes.current() == Home(project)
    use(project / "a")
    assert homes.current() == Home(project / "a")
    (project / "a" / "b" / PROJECT_FILE).touch()
    assert homes.current() == Home(Path())


def test_without_a_project_the_current_folder_is_the_home(project: Path):
    (project / PROJECT_FILE).unlink()
    (project / "data").mkdir()  # many folders are called so
    assert homes.current() == Home(Path())


def test_the_variable_comes_first(project: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RNNLM_HOME", ".")
    assert homes.current() == Home(project / "a" / "b")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_project_of_another_user_is_not_used_unasked(project: Path):
    os.chown(project, 12345, 12345)
    assert homes.current() == Home(Path())


def test_a_command_says_which_home_it_uses_if_that_is_not_the_current_folder(
    project: Path, monkeypatch: pytest.MonkeyPatch
):
    out, err = called("corpora")
    assert err == f"  home: {project} (to use this folder: RNNLM_HOME=.)\n"
    assert str(project) not in out
    for arguments in (("settings",), ("corpora", "--help"), ("--help",)):
        assert called(*arguments)[1] == ""
    monkeypatch.chdir(project)
    assert called("corpora")[1] == ""


def test_the_help_explains_the_home():
    out, _ = called("--help")
    assert "RNNLM_HOME" in out
    assert max(map(len, out.splitlines())) <= 80


class Made(BaseModel):
    uri: str
    files: list[str]
    note: str


def make(siblings: Path) -> Made:
    step = Step("make", 1, {}, Made, siblings)
    with attempt(step) as trying:
        if not trying.is_recalled:
            (trying.folder).mkdir(exist_ok=True)
            (trying.folder / "x").write_text("x")
            uri = str(trying.folder)
            trying.result = Made(uri=uri, files=[f"{uri}/x"], note=f"{uri}x")
        else:
            assert step.folder.joinpath("x").is_file()
    return trying.result


def test_results_are_found_from_another_folder_and_after_a_move(project: Path):
    os.chdir(project)
    made = make(Path("data/kind/name"))
    assert made.files == [f"{made.uri}/x"]
    os.chdir(project / "a")
    again = make(project / "data" / "kind" / "name")
    assert [Path(path).read_text() for path in again.files] == ["x"]
    assert again.note == made.note  # no path of a file in the folder
    shutil.move(project / "data", project / "a" / "data")
    assert Path(make(project / "a" / "data" / "kind" / "name").files[0]).is_file()


def test_the_corpus_of_a_version_is_found_from_another_folder(project: Path):
    client, here = connect(Home(project)), Home(project)
    client.create_registered_model("tiny")
    version = Version(name="tiny", version=1, corpus_uri="data/corpora/tiny/0", baseline="/b")
    client.create_model_version("tiny", "s", tags=version.tags())
    (found,) = registry.versions(here)
    assert found.corpus_uri == str(project / "data" / "corpora" / "tiny" / "0")
    assert found.baseline == "/b"


def test_an_address_is_refused_as_a_home_in_one_line(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RNNLM_HOME", "s3://user:secret@bucket/home")
    _, said = called("models")
    (line,) = said.strip().splitlines()
    assert line.startswith("error: RNNLM_HOME=s3://…@bucket/home (expected a folder")
