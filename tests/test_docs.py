"""Test that what the pages name exists: files, commands, options, settings, imports.

The site (`make docs`) checks links to headings too.
"""

import ast
import importlib
import importlib.util
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer import Context
from typer.main import get_command

import rnnlm
from flows.cli import app
from flows.runtime import home
from flows.transfer import contents
from rnnlm import header
from rnnlm.config import from_values
from rnnlm.config.reference import settings
from rnnlm.generation.publishing import COLUMNS
from tests.conftest import ROOT

PAGES = [
    *sorted((ROOT / "docs").glob("*.md")),
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "docker/README.md")),
]
COMMANDS = get_command(app).commands  # type: ignore[attr-defined]
KEYS = {setting.key for setting in settings()}
every_page = pytest.mark.parametrize(
    "page", PAGES, ids=lambda page: str(page.relative_to(ROOT)).removesuffix(".md")
)


def blocks(page: Path, language: str) -> list[str]:
    """Return the code blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


def command_lines(page: Path) -> Iterator[tuple[str, bool]]:
    """Yield what follows `rnnlm` in each command, and whether it is a whole command.

    A code block holds whole commands; in a sentence, arguments may be left out.
    """
    text = page.read_text()
    for block in blocks(page, "sh"):
        for line in block.replace("\\\n", " ").splitlines():
            for found in re.findall(r"(?:^|[ /])(?<!namespace )rnnlm ([a-z][^|&>;]*)", line):
                yield found, True
    for span in re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)):
        if found := re.fullmatch(r"(?:\.venv/bin/)?rnnlm ([a-z].*)", span.replace("\\|", "|")):
            yield found[1], False


@every_page
def test_every_file_that_a_page_links_to_exists(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        assert target.startswith("http") or (page.parent / target).exists(), target


@every_page
def test_every_command_in_a_page_has_its_options_and_settings(page):
    for line, is_whole in command_lines(page):
        name, *words = shlex.split(line, comments=is_whole)
        assert name in COMMANDS, line
        command = COMMANDS[name]
        if is_whole:
            values = command.make_context(name, words).params
        else:
            words += ["…"] if words and words[-1].startswith("--") else []  # its value, if any
            values = command.make_parser(Context(command)).parse_args(words)[0]
        for pair in values.get("settings") or ():
            key = pair.partition("=")[0]
            assert key in KEYS or key.isupper(), line


@pytest.mark.parametrize("line", ["sample --no-such", "sampel", "train x.txt --set model.size=3"])
@pytest.mark.parametrize("form", ["```sh\n.venv/bin/rnnlm {}  # why\n```\n", "Run `rnnlm {}`.\n"])
def test_a_wrong_command_in_a_page_is_found(line, form, tmp_path):
    page = tmp_path / "page.md"
    page.write_text(form.format(line))
    with pytest.raises(Exception, match=r"no-such|sampel|model\.size"):
        test_every_command_in_a_page_has_its_options_and_settings(page)


def import_or_skip(node: ast.Import | ast.ImportFrom) -> None:
    """Run an import; skip the test if it needs an extra that is not installed."""
    try:
        exec(ast.unparse(node), {})
    except ModuleNotFoundError as error:
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        if f"{error.name}>" in str(project["optional-dependencies"]):
            pytest.skip(f"{error.name} is not installed")
        raise


@every_page
def test_the_python_in_a_page_compiles_and_its_imports_exist(page):
    for block in blocks(page, "python"):
        for node in ast.walk(ast.parse(block)):
            match node:
                case ast.Import() | ast.ImportFrom() if "leaky" not in block:
                    import_or_skip(node)
                case ast.Attribute(value=ast.Name("rnnlm"), attr=name):
                    assert hasattr(rnnlm, name), name


@every_page
def test_the_configuration_in_a_page_is_valid(page):
    for block in blocks(page, "toml"):
        from_values({"name": "x", **tomllib.loads(block)}, origin=page.name)


def test_every_name_in_the_table_of_the_lecture_is_in_its_file():
    page = ROOT / "docs" / "simple-rnn.md"
    table = page.read_text().partition("## Where to find it in the code")[2]
    rows = re.findall(r"^\|[^|]*\|([^|]*)\|([^|]*)\|$", table, flags=re.MULTILINE)[2:]
    assert len(rows) > 10
    for files, names in rows:
        sources = [(page.parent / file).read_text() for file in re.findall(r"\(([^)]+)\)", files)]
        for name in re.findall(r"`(\w+)`", names):
            pattern = rf"^\s*(def |class ){name}\b|^\s*{name}:"
            assert any(re.search(pattern, text, re.MULTILINE) for text in sources), name


@pytest.mark.parametrize(
    ("name", "part"), [("settings", "`training.bptt`"), ("commands", "* `--grammar <str>`")]
)
def test_a_generated_page_is_up_to_date(name, part):
    path = ROOT / "docs" / "figures" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.PAGE.read_text("utf-8") == module.page(), f"run python docs/figures/{name}.py"
    assert part in module.page()


def test_the_reference_of_python_has_every_public_name():
    documented = re.findall(
        r"^\.\. auto\w+:: ([\w.]+)", (ROOT / "docs/api.md").read_text(), re.MULTILINE
    )
    assert {*documented} >= {f"rnnlm.{name}" for name in rnnlm.__all__} - {"rnnlm.RnnlmError"}
    assert "rnnlm.errors" in documented
    for name in documented:
        parent, _, own = name.rpartition(".")
        assert hasattr(importlib.import_module(parent), own), name


def test_the_page_of_promises_states_the_formats_that_are_written():
    page = (ROOT / "docs" / "stability.md").read_text()
    stated = re.findall(r"^\| ([a-z]+)[^|]*\| `([\w-]+)`", page, re.MULTILINE)
    assert dict(stated) == {
        "home": str(home.FORMAT),
        "model": header.CHECKPOINT,
        "archive": contents.FORMAT,
    }
    columns = page.partition("the columns ")[2].partition(".")[0]
    assert re.findall(r"`(\w+)`", columns) == [*COLUMNS]


def test_the_comparison_shows_the_lines_that_install_each_tool(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs/figures")
    tools = importlib.import_module("comparison_tools").TOOLS
    page = (ROOT / "docs/comparison.md").read_text("utf-8")
    shown = re.split(r"^### (.+)$", page, flags=re.MULTILINE)
    by_tool = dict(zip(shown[1::2], shown[2::2], strict=True))
    assert {*by_tool} >= {*tools}
    for name, tool in tools.items():
        typed = re.findall(r"^```sh\n(.*?)^```", by_tool[name], re.MULTILINE | re.DOTALL)[0]
        assert typed.startswith("\n".join(tool.install)), name
