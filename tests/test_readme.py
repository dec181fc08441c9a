import re

from typer.main import get_command

from flows.cli import app
from tests.conftest import ROOT

README = (ROOT / "README.md").read_text()


def test_the_table_of_commands_has_every_command_and_only_options_that_it_has():
    commands = get_command(app).commands  # type: ignore[attr-defined]
    rows = dict(re.findall(r"^\| `rnnlm ([a-z]+)(.*)", README, flags=re.MULTILINE))
    assert {*rows} == {*commands}
    for name, row in rows.items():
        options = {option for p in commands[name].params for option in p.opts + p.secondary_opts}
        if name == "settings":
            options.add("--set")  # which it explains
        assert {*re.findall(r"(?<=[` ])--?[a-z][a-z-]*", row)} <= options, name


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
