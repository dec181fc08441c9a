"""Test that every imported package is declared, and that `make audit` ends without a network."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from rnnlm.remote import PACKAGES
from tests.conftest import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_every_imported_package_is_declared():
    program = Path(sys.executable).with_name("deptry")
    finished = subprocess.run([program, "rnnlm", "flows"], cwd=ROOT, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr


def test_an_undeclared_import_is_found(tmp_path: Path):
    (tmp_path / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())
    for package in ("rnnlm", "flows"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text("def f():\n    import aiosqlite\n")
    program = Path(sys.executable).with_name("deptry")
    finished = subprocess.run(
        [program, "rnnlm", "flows"], cwd=tmp_path, capture_output=True, text=True
    )
    assert "'aiosqlite' imported but" in finished.stderr


@pytest.mark.skipif(not (ROOT / ".venv").exists(), reason="there is no .venv")
def test_an_audit_without_a_network_says_so_in_one_line():
    proxies = dict.fromkeys(("https_proxy", "HTTPS_PROXY"), "http://127.0.0.1:9")
    finished = subprocess.run(
        [ROOT / ".ci" / "audit"], env={**os.environ, **proxies}, capture_output=True, text=True
    )
    assert finished.returncode == 0
    (line,) = finished.stdout.splitlines()
    assert line.startswith("offline: ")


def test_the_packages_that_machines_must_agree_on_are_dependencies():
    names = {re.split(r"[<>=]", one)[0] for one in PROJECT["dependencies"]}
    assert set(PACKAGES) <= names


def test_every_dependency_says_what_it_is_for():
    lines = (ROOT / "pyproject.toml").read_text().splitlines()
    for one in PROJECT["dependencies"]:
        [line] = [line for line in lines if line.strip().startswith(f'"{one}"')]
        assert re.search(r"# \w.+", line), line
