import ast
import re

from typer.main import get_command

from flows.cli import app
from tests.conftest import ROOT

README = (ROOT / "README.md").read_text()


def test_every_command_in_the_readme_exists():
    commands = get_command(app).commands  # type: ignore[attr-defined]
    for line in re.findall(r"rnnlm ([a-z]+[^\n`|]*)", README):
        words = line.split()
        if words[0] not in commands:
            continue
        options = {option for p in commands[words[0]].params for option in p.opts}
        assert {word for word in words if word.startswith("--")} <= options, line
    documented = {*re.findall(r"^\| `rnnlm ([a-z]+)", README, flags=re.MULTILINE)}
    assert documented == {*commands}


def test_every_make_target_that_is_mentioned_exists():
    targets = {*re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)}
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / ".ci" / "run"):
        named = {*re.findall(r"(?:`|^)make ([a-z]+)", path.read_text(), flags=re.MULTILINE)}
        assert named
        assert named <= targets


def test_every_file_in_the_file_map_exists():
    section = README.partition("## The file map")[2].partition("```")[2].partition("```")[0]
    folder = ""
    for line in section.strip().splitlines():
        if not line.startswith(" "):
            folder = line.split()[0]
            assert (ROOT / folder).is_dir(), folder
            continue
        for name in re.findall(r"[a-z_]+\.py|[a-z]+/", line.split("  ")[1]):
            assert (ROOT / folder / name).exists(), name


def test_every_picture_in_the_readme_exists():
    for path in re.findall(r"!\[[^\]]+\]\(([^)]+)\)", README):
        assert (ROOT / path).is_file(), path


def test_everything_that_the_python_examples_import_exists():
    blocks = re.findall(r"^```python\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)
    nodes = [node for block in blocks for node in ast.walk(ast.parse(block))]
    imports = [node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)]
    assert len(imports) > 3
    for node in imports:
        exec(ast.unparse(node), {})
