"""Test `.ci/release` in a copy of the project, without a network.

It needs the extra `release`. The packages that rnnlm needs come from the present environment.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import rnnlm
from tests.conftest import ROOT

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not all(Path(sys.executable).with_name(name).exists() for name in ("twine", "auditwheel")),
        reason="the extra `release` is not installed",
    ),
]


def git(folder: Path, *words: str) -> str:
    who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    words = ("git", *who, *words)
    return subprocess.run(words, cwd=folder, check=True, capture_output=True, text=True).stdout


def release(folder: Path) -> subprocess.CompletedProcess[str]:
    offline = {"PIP_NO_INDEX": "1", "PIP_NO_DEPS": "1", "BUILD_OPTIONS": "--no-isolation"}
    found = [path for path in sys.path if path.endswith("site-packages")]
    return subprocess.run(
        [folder / ".ci" / "release"], capture_output=True, text=True,
        env={**os.environ, **offline, "PYTHONPATH": os.pathsep.join(found)},
    )  # fmt: skip


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    for name in ("rnnlm", "rnnlm_flows", "flows", ".ci"):
        shutil.copytree(
            ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("*.so", "__py*")
        )
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n\n## Unreleased\n- A thing.\n")
    (tmp_path / ".gitignore").write_text("build/\ndist/\n*.egg-info/\n__pycache__/\n.venv\n")
    (tmp_path / ".venv").symlink_to(sys.prefix)
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "--message", "all")
    return tmp_path


def test_a_release_is_built_checked_and_cut_but_not_uploaded(project: Path):
    (project / "README.md").write_text("changed")
    assert "not committed" in release(project).stderr
    git(project, "checkout", "README.md")

    finished = release(project)
    assert finished.returncode == 0, finished.stderr
    version = rnnlm.__version__
    sdist, wheel = sorted((path.name for path in project.glob("dist/*")), key=len)
    assert sdist == f"rnnlm-{version}.tar.gz"
    tag = "manylinux" if sys.platform == "linux" else "macosx"
    assert re.fullmatch(rf"rnnlm-{version}-cp.*{tag}.*_{os.uname().machine}\.whl", wheel)
    assert f"git tag -a v{version}" in finished.stdout
    assert finished.stdout.count("twine upload dist/") == 2
    assert git(project, "status", "--porcelain") == " M CHANGELOG.md\n"
    cut = (project / "CHANGELOG.md").read_text()
    assert re.search(
        rf"^## Unreleased\n\n## {version} - \d{{4}}-\d\d-\d\d\n- A thing\.$", cut, re.M
    )

    git(project, "commit", "--quiet", "--all", "--message", "release")
    assert "nothing to release" in release(project).stderr
    (project / "CHANGELOG.md").write_text(cut.replace("Unreleased\n", "Unreleased\n- More.\n"))
    git(project, "commit", "--quiet", "--all", "--message", "more")
    assert "raise __version__" in release(project).stderr
