"""Test the command `sample`: what it prints where, what it imports, and that it writes nothing."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from rnnlm import checkpoint
from rnnlm.config import GenerationConfig
from rnnlm.corpora import recipes
from rnnlm.engine.drawing import generate_texts
from rnnlm.engine.running import choose_engine
from rnnlm.generation.streaming import DrawnText
from rnnlm.models import build
from rnnlm.tokenizer import BPETokenizer, CharacterTokenizer, Tokenizer
from tests.conftest import ROOT, call_cli, run_cli, tiny_experiment
from tests.terminals import run_in_terminal

ESCAPE = "\x1b"
SGR = re.compile(r"\x1b\[[0-9;]*m")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of packed models; equal models are packed only once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _one_cache(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))


def saved(path: Path, tokenizer: Tokenizer, form: str = "text") -> Path:
    torch.manual_seed(1)
    experiment = tiny_experiment(
        corpus={"form": form}, generation={"max_length": 40, "grammar": "color" * (form == "color")}
    )
    network = build(experiment.model, tokenizer.vocab_size)
    checkpoint.save(path, network, tokenizer, experiment, {"precision": {"chosen": "int8"}})
    return path


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return saved(tmp_path / "model.safetensors", CharacterTokenizer("abc 123\n"))


@pytest.fixture
def colors(tmp_path: Path) -> Path:
    letters = CharacterTokenizer("abc 0123456789")
    return saved(tmp_path / "colors.safetensors", letters, "color")


@pytest.fixture
def pieces(tmp_path: Path) -> Path:
    texts = ["the cat sat on the mat", "the dog sat on the log"] * 20
    return saved(tmp_path / "pieces.safetensors", BPETokenizer.learn(texts, 280))


def test_texts_go_to_standard_output_and_the_chosen_seed_to_standard_error(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    before = {*tmp_path.rglob("*")}
    first = call_cli(tmp_path, "sample", str(model), "--json", "--max-length", "8")
    texts = [json.loads(line) for line in first.out.splitlines()]
    assert [text["number"] for text in texts] == [*range(10)]
    [seed] = re.findall(r"--seed (\d+)", first.err)
    again = call_cli(tmp_path, "sample", str(model), "--json", "--max-length", "8", "--seed", seed)
    assert again.out == first.out
    assert again.err == ""
    made = {*tmp_path.rglob("*")} - before
    assert {path.relative_to(tmp_path).parts[0] for path in made} == {"cache"}


def test_the_texts_are_those_of_the_engine(tmp_path: Path, model: Path):
    loaded = checkpoint.load(model)
    config = GenerationConfig(count=7, seed=3, prefix="ab", temperature=0.5, max_length=30)
    how = choose_engine(loaded.model, "int8")
    drawn = generate_texts(loaded.model, loaded.tokenizer, config, 0, 7, how)
    expected = [text.text for text in sorted(drawn, key=lambda text: text.number)]
    options = ("-n", "7", "--seed", "3", "-t", "0.5", "--max-length", "30")
    printed = call_cli(tmp_path, "sample", str(model), "ab", *options)
    assert printed.out == "".join(f"{t}\n\n" if "\n" in t else f"{t}\n" for t in expected)


@pytest.mark.parametrize("kind", ["model", "pieces"])
def test_sampling_imports_neither_torch_nor_mlflow(
    tmp_path: Path, kind: str, request: pytest.FixtureRequest
):
    path = request.getfixturevalue(kind)
    call_cli(tmp_path, "sample", str(path))  # packs it
    script = f"""
import sys
sys.argv = ["rnnlm", "sample", {str(path)!r}, "--prefix", "a c", "-n", "3"]
from flows.cli import main
try:
    main()
finally:
    found = {{"torch", "prefect", "mlflow", "pandas", "scipy", "rich", "distributed"}}
    sys.stderr.write(repr(sorted(found & {{*sys.modules}})))
"""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    ended = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True
    )
    assert ended.returncode == 0
    assert ended.stdout.startswith("a c")
    assert ended.stderr.endswith("[]")


def test_a_reader_may_stop_reading(tmp_path: Path, model: Path):
    command = [sys.executable, "-m", "flows.cli", "sample", str(model), "-n", "1M"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, text=True
    )
    assert process.stdout is not None
    assert process.stderr is not None
    with process:
        assert process.stdout.readline()
        process.stdout.close()
        assert process.wait(60) == 0
        assert process.stderr.read() == ""


def _hear_interrupts() -> None:
    """Make the process stop on SIGINT, which background commands of a shell ignore."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_an_interrupted_command_still_says_how_to_draw_the_texts_again(tmp_path: Path, model: Path):
    command = [sys.executable, "-m", "flows.cli", "sample", str(model), "-n", "1M"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        text=True,
        preexec_fn=_hear_interrupts,  # noqa: PLW1509 - no other thread runs
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert re.fullmatch(r"  to draw them again: --seed \d+\n", errors)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nobody",), "no model 'nobody'"),
        (("./nowhere",), "no file nowhere"),
        (("{model}", "--temperature", "hot"), "--temperature hot"),
        (("{model}", "-t", "0.5,-1"), "temperature = -1"),
        (("{model}", "é"), "never saw in training: 'é'"),
        (("{model}", "a", "--prefix", "b"), "PREFIX and --prefix are both given"),
        (("{model}", "--given", "brand=behr"), "not trained with the attribute 'brand'"),
        (("{model}", "--grammar", "nonsense"), "no grammar 'nonsense'"),
        (("{model}", "-n", "none"), "--count"),
        (("{model}", "--unique", "--max-length", "1", "-n", "2000"), "could be kept"),
    ],
)
def test_bad_input_is_refused_in_one_line(
    tmp_path: Path, model: Path, arguments: tuple[str, ...], message: str
):
    words = [word.format(model=model) for word in arguments]
    refused = call_cli(tmp_path, "sample", *words)
    assert refused.status != 0
    assert refused.err.count("\n") == 1
    assert message in refused.err


def test_the_surprise_of_each_character_is_in_the_json(tmp_path: Path, model: Path):
    printed = call_cli(tmp_path, "sample", str(model), "ab", "--surprise", "--json", "--seed", "1")
    for line in printed.out.splitlines():
        text = json.loads(line)
        assert len(text["bits"]) == len(text["text"])
        assert text["bits"][:2] == [None, None]
        assert all(bits >= 0 for bits in text["bits"][2:])


def test_without_a_terminal_there_are_no_colours(tmp_path: Path, colors: Path):
    for options in ((), ("--surprise",), ("-t", "0.5,1")):
        printed = run_cli(tmp_path, "sample", str(colors), *options)
        assert printed.status == 0, printed.err
        assert ESCAPE not in printed.out + printed.err


def test_colours_are_swatches_on_a_terminal(tmp_path: Path, colors: Path):
    shown = run_in_terminal(tmp_path, 80, "sample", str(colors), "-n", "3", "--seed", "1")
    plain = call_cli(tmp_path, "sample", str(colors), "-n", "3", "--seed", "1").out.splitlines()
    for line, text in zip(shown.splitlines(), plain, strict=True):
        name, *channels = text.rsplit(" ", 3)
        assert f"{ESCAPE}[48;2;{';'.join(channels)}m" in line
        assert SGR.sub("", line).split() == [f"#{bytes(map(int, channels)).hex()}", *name.split()]
    quiet = run_in_terminal(tmp_path, 80, "sample", str(colors), "--seed", "1", NO_COLOR="1")
    assert "48;2" not in quiet


@pytest.mark.parametrize("width", [50, 60, 80, 120, 200])
def test_temperatures_are_side_by_side_if_the_window_is_wide_enough(
    tmp_path: Path, model: Path, width: int
):
    ask = ("sample", str(model), "-t", "0.3,0.7,1.1", "-n", "4", "--seed", "1")
    shown = SGR.sub("", run_in_terminal(tmp_path, width, *ask))
    titles = [line.split() for line in shown.splitlines() if "temperature" in line]
    one_row = ["temperature", "0.3", "temperature", "0.7", "temperature", "1.1"]
    assert titles == ([one_row] if width > 80 else [one_row[:2], one_row[2:4], one_row[4:]])
    assert max(map(len, shown.splitlines())) <= width


def test_surprising_characters_are_coloured_and_a_legend_explains(tmp_path: Path, model: Path):
    ask = ("sample", str(model), "--surprise", "-n", "2", "--seed", "1")
    shown = run_in_terminal(tmp_path, 80, *ask)
    assert "bits per character" in shown.splitlines()[0]
    assert "over 9" in shown.splitlines()[0]
    assert "48;2" in "".join(shown.splitlines()[2:])


def test_only_the_bar_beside_a_long_text_is_dim(tmp_path: Path, model: Path):
    ask = ("sample", str(model), "-n", "1", "--seed", "1", "--min-length", "39")
    lines = run_in_terminal(tmp_path, 30, *ask).rstrip().splitlines()
    assert len(lines) > 1
    assert all(line.startswith(f"{ESCAPE}[2m  │ {ESCAPE}[0m") for line in lines)


def test_a_recipe_is_laid_out():
    from flows.console.drawn import cell

    parts = (
        recipes.Section("", (recipes.Ingredient("1", "c", "flour"),)),
        recipes.Section("Glaze", (recipes.Ingredient("1/2", "ts", "salt"),)),
    )
    whole = recipes.Recipe("Basic Chips", ("Snacks",), "4", parts, ("Mix.", "Bake."))
    text = recipes.render(whole)
    shown = cell(DrawnText(0, text, {}, 1, -1.0, True), "recipe").plain
    assert shown.splitlines() == [
        "Basic Chips",
        "Snacks, 4 servings",
        "",
        "      1 c  flour",
        "",
        "Glaze",
        "    1/2 ts salt",
        "",
        "Mix.",
        "",
        "Bake.",
    ]
    assert cell(DrawnText(0, "no recipe", {}, 1, -1.0, True), "recipe").plain == "no recipe"


def test_the_base_is_sampled_where_there_is_no_champion(tmp_path: Path):
    printed = call_cli(tmp_path, "sample", "-n", "1", "--max-length", "5")
    assert "base english, since there is no champion here yet" in printed.err
    assert printed.out.strip()
