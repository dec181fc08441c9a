"""Test that the hooks of pre-commit run the tools of `make check`, on the files of a commit."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT

HOOKS = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]


def test_each_tool_of_make_check_has_a_hook():
    lint = (ROOT / "Makefile").read_text().partition("\nlint: ")[2].partition("\n\n")[0]
    commands = [*re.findall(r"\$\(BIN\)/([\w-]+(?: (?:format|check))?)", lint)]
    assert len(commands) > 5
    entries = {hook["entry"].removeprefix(".venv/bin/") for hook in HOOKS}
    for command in commands:
        assert any(entry.startswith(command) for entry in entries), command


def test_each_hook_names_a_program_and_files_that_exist():
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True).stdout
    for hook in HOOKS:
        program = Path(hook["entry"].split()[0])
        installed = Path(sys.executable).with_name(program.name)
        assert installed.exists() if program.parts[0] == ".venv" else (ROOT / program).exists()
        pattern = hook.get("files", r"\.py$")
        assert not files or any(re.search(pattern, file) for file in files.splitlines())


@pytest.mark.slow
@pytest.mark.skipif(not (ROOT / ".venv").exists(), reason="there is no .venv")
@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (["rnnlm/visible.py", "docs/models.md"], "passed"),
        (["tests/audit/test_audit_that_is_not_there.py", "setup.py"], ""),
    ],
)
def test_the_tests_of_changed_files_are_run(changed: list[str], said: str):
    finished = subprocess.run(
        [ROOT / ".ci" / "test-changed", *changed], capture_output=True, text=True
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert said in finished.stdout
    assert bool(finished.stdout) == bool(said)
