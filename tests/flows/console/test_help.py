import subprocess
import sys
from pathlib import Path

from flows.cli import app
from flows.console.help import EXAMPLES, GROUPS, WELCOME
from rnnlm import __version__
from tests.conftest import ROOT, call_cli


def names() -> set[str]:
    return {info.name for info in app.registered_commands if info.name}


def test_each_command_is_in_one_group_and_has_examples():
    listed = [name for group in GROUPS.values() for name in group]
    assert sorted(listed) == sorted(names()) == sorted(EXAMPLES)
    for name, lines in EXAMPLES.items():
        assert any(line.startswith(f"rnnlm {name}") for line in lines)


def test_rnnlm_alone_shows_the_commands_a_newcomer_needs(tmp_path: Path):
    finished = call_cli(tmp_path)
    assert (finished.status, finished.out) == (0, WELCOME)
    assert max(map(len, WELCOME.splitlines())) <= 80
    assert sum(line.startswith("  rnnlm ") for line in WELCOME.splitlines()) == 5


def test_help_lists_commands_in_groups_without_shortening_their_descriptions(tmp_path: Path):
    finished = call_cli(tmp_path, "--help")
    assert finished.status == 0
    assert "[ARGS]..." in finished.out and finished.out.count("...") == 1
    for title in GROUPS:
        assert f"{title}:" in finished.out


def test_the_help_of_a_command_ends_with_examples_one_per_line(tmp_path: Path):
    finished = call_cli(tmp_path, "train", "--help")
    for line in EXAMPLES["train"]:
        assert f"    {line}" in finished.out.splitlines()


def test_python_can_run_the_package():
    said = subprocess.run(
        [sys.executable, "-m", "rnnlm", "--version"], cwd=ROOT, capture_output=True, text=True
    )
    assert (said.returncode, said.stdout) == (0, f"rnnlm {__version__}\n")


def test_misspelt_names_are_corrected(tmp_path: Path):
    for arguments, meant in (
        (["trian"], "train"),
        (["settings", "training.bppt"], "training.bptt"),
        (["train", "color-demo"], "colors-demo"),
        (["train", "colors-demo", "--set", "model.hiden_size=3"], "hidden_size"),
    ):
        finished = call_cli(tmp_path, *arguments)
        assert finished.status != 0
        assert f"did you mean {meant}?" in finished.err.replace("'", "").replace("Did", "did")
