"""Test that the files and names which the pages in docs/ refer to exist."""

import importlib.util
import re

import pytest

from tests.conftest import ROOT

PAGES = sorted((ROOT / "docs").glob("*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_that_a_page_links_to_exists(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        assert target.startswith("http") or (page.parent / target).exists(), target


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


def test_the_page_of_settings_matches_the_configuration_classes():
    spec = importlib.util.spec_from_file_location("settings", ROOT / "docs/figures/settings.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.PAGE.read_text("utf-8") == module.page()
    assert "`training.bptt`" in module.page()


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
