"""Test the command line as a user runs it."""

import contextlib
import json
import math
import os
import re
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest
from mlflow.tracking import MlflowClient

from tests.conftest import ROOT, call_cli, fork_cli, lines, run_cli, write_tiny

STEPS = ["ingest", "tokenize", "count", "train", "evaluate", "register", "sample", "gate", "review"]


def processes(home: Path) -> list[psutil.Process]:
    """Return the running Prefect servers that commands started in a home."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            is_server = "flows.servers.prefect_server" in process.cmdline()
            if is_server and process.environ().get("RNNLM_HOME") == str(home):
                found.append(process)
    return found


def test_help_takes_a_few_times_what_typer_and_rich_take():  # 0.23 s, of which they take 0.07
    def processor_time(*arguments: str) -> float:  # waiting is left out, but not a slow machine
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, *arguments], check=True, cwd=ROOT, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    bare, helped = [], []
    for _ in range(3):
        bare.append(processor_time("-c", "import typer, rich.console, rich.table"))
        helped.append(processor_time("-m", "flows.cli", "--help"))
    assert min(helped) < 5 * min(bare)


def test_training_reports_all_documented_figures(trained: Path):
    result = json.loads((trained / "result.json").read_text())
    assert result["model"] == "tiny"
    assert (result["version"], result["alias"]) == (1, "champion")
    assert len(result["run_id"]) == 32
    assert sum(result["corpus"]["documents"].values()) == 200
    assert len(result["corpus"]["digest"]) == 64
    test = result["test"]
    assert test["perplexity"] == pytest.approx(math.exp(test["nll_nats_per_token"]))
    bits = test["nll_nats_per_token"] * test["tokens"] / math.log(2) / test["characters"]
    assert test["bits_per_character"] == pytest.approx(bits)
    assert [*result["seconds"]] == STEPS
    assert result["cached"] == dict.fromkeys(STEPS, False)
    generated = result["generated"]
    shards = sorted((trained / generated["path"] / "data").glob("train-*.parquet"))
    assert sum(pq.read_metadata(shard).num_rows for shard in shards) == generated["count"] == 30


def test_a_second_run_takes_every_step_from_the_cache(trained: Path):
    finished = run_cli(trained, "train", "tiny.toml", "--json")
    assert finished.status == 0, finished.err
    first = json.loads((trained / "result.json").read_text())
    again = finished.json
    assert again["cached"] == dict.fromkeys(STEPS, True)
    for part in ("version", "alias", "run_id", "test", "generated", "corpus"):
        assert again[part] == first[part]
    assert not processes(trained)


@pytest.mark.parametrize(
    ("settings", "runs"),
    [
        ([], []),
        (["generation.temperature=0.9"], ["sample"]),
        (["training.learning_rate=0.1"], STEPS[3:]),
        (["tokenizer.kind=byte"], STEPS[1:]),
        (["splits.test=0.3"], STEPS),
    ],
)
def test_the_plan_states_what_would_run_and_why(
    trained: Path, settings: list[str], runs: list[str]
):
    sets = [word for setting in settings for word in ("--set", setting)]
    planned = call_cli(trained, "train", "tiny.toml", "--plan", "--json", *sets).json["plan"]
    assert [step["step"] for step in planned] == STEPS
    assert [step["step"] for step in planned if not step["cached"]] == runs
    if runs:
        key = settings[0].partition("=")[0]
        first = next(step for step in planned if not step["cached"])
        assert key in first["reason"]
        assert "→" in first["reason"]


def test_a_changed_byte_of_the_corpus_reruns_everything(trained: Path, tmp_path: Path):
    text = trained / "tiny.txt"
    before = text.read_text()
    try:
        text.write_text(before.replace("red", "rad", 1))
        planned = call_cli(trained, "train", "tiny.toml", "--plan", "--json").json["plan"]
        assert not any(step["cached"] for step in planned)
        assert "source changed" in planned[0]["reason"]
    finally:
        text.write_text(before)


def test_a_damaged_file_is_noticed(trained: Path):
    scores = next((trained / "data" / "scores").rglob("scores.json"))
    good = scores.read_bytes()
    try:
        scores.write_bytes(good + b" ")
        planned = call_cli(trained, "train", "tiny.toml", "--plan", "--json").json["plan"]
        changed = [step for step in planned if not step["cached"]]
        assert [(step["step"], step["reason"]) for step in changed] == [
            ("evaluate", "scores.json is damaged")
        ]
    finally:
        scores.write_bytes(good)


@pytest.mark.slow
def test_models_promote_and_rollback_move_the_champion(tmp_path: Path):
    write_tiny(tmp_path)
    assert "rror" not in fork_cli(tmp_path, "train", "tiny.toml").err
    worse = fork_cli(tmp_path, "train", "tiny.toml", "--json", "--set", "training.budget=1 epoch")
    assert (worse.json["version"], worse.json["alias"]) == (2, "challenger")
    assert "worse than champion 1" in worse.json["reason"]

    def aliases() -> dict[int, str | None]:
        listed = call_cli(tmp_path, "models", "--json").json["models"]
        return {model["version"]: model["alias"] for model in listed}

    assert aliases() == {1: "champion", 2: "challenger"}
    assert call_cli(tmp_path, "promote", "tiny", "2").status == 0
    assert aliases() == {1: "previous", 2: "champion"}
    assert call_cli(tmp_path, "rollback", "tiny").status == 0
    assert aliases() == {1: "champion", 2: "previous"}
    ask = ["train", "tiny.toml", "--json", "--force", "--set", "training.budget=9 epochs"]
    better = fork_cli(tmp_path, *ask).json
    assert (better["version"], better["alias"]) == (3, "champion")
    assert "better than champion 1" in better["reason"]
    assert aliases() == {1: "previous", 2: None, 3: "champion"}
    assert better["cached"] == dict.fromkeys(STEPS, False)  # because of --force


def test_generate_writes_the_requested_texts(trained: Path, tmp_path: Path):
    (tmp_path / "openings.txt").write_text("red\n" * 25)
    ask = ["generate", "--unique", "tiny", "--prefixes", str(tmp_path / "openings.txt"), "--json"]
    ask += ["--out", str(tmp_path / "out"), "--format", "jsonl", "--max-length", "9"]
    ask += ["--seed", "5", "--banned", "7", "--workers", "2", "--shard-size", "10"]
    finished = fork_cli(trained, *ask)
    assert finished.status == 0, finished.err
    rows = [
        json.loads(line)
        for shard in sorted((tmp_path / "out" / "data").glob("*.jsonl"))
        for line in shard.read_text().splitlines()
    ]
    assert [row["id"] for row in rows] == sorted({row["id"] for row in rows})
    assert len({row["text"] for row in rows}) == len(rows) == finished.json["count"] == 25
    assert all(row["text"].startswith("red") and row["tokens"] <= 9 for row in rows)
    assert not any("7" in row["text"] for row in rows)
    assert "generate --unique tiny/1 --prefixes" in (tmp_path / "out" / "README.md").read_text()
    again = fork_cli(trained, *[word for word in ask if word != "--json"])
    assert "nothing was done" in again.out, again.err
    client = MlflowClient(f"sqlite:///{trained}/mlruns/mlflow.db")
    experiment = client.get_experiment_by_name("tiny data sets")
    condition = "tags.`rnnlm.kind` = 'generation'"
    (run,) = client.search_runs([experiment.experiment_id], condition)
    version = client.get_model_version("tiny", "1")
    assert run.data.tags["rnnlm.model_version"] == "tiny/1"
    assert run.data.tags["rnnlm.model_run"] == version.run_id
    assert run.data.metrics["generated/texts"] == 25
    logged = {item.path for item in client.list_artifacts(run.info.run_id, "generated")}
    assert {"generated/README.md", "generated/manifest.json", "generated/lengths.png"} <= logged


def test_evaluate_agrees_with_what_training_reported(trained: Path, tmp_path: Path):
    promised = json.loads((trained / "result.json").read_text())["test"]
    scored = call_cli(trained, "evaluate", "tiny@champion", "--json").json
    for name in ("bits_per_character", "bits_per_character_high", "ngram_bits_per_character"):
        assert scored[name] == pytest.approx(promised[name], rel=1e-6)
    assert promised["bits_per_character_low"] < promised["bits_per_character"]
    (tmp_path / "other.txt").write_text("ÄÖ red 1 2 3\nblue 4 5 6\n")
    other = call_cli(trained, "evaluate", "tiny/1", "--text", str(tmp_path / "other.txt"), "--json")
    assert other.json["unknown"] == 2
    assert other.json["documents"] == 2


@pytest.mark.parametrize(
    "option",
    [["--dynamic"], ["--dynamic", "--rate", "0.001"], ["--cache", "50", "--flatness", "1"]],
)
def test_evaluate_can_adapt_to_the_text(trained: Path, tmp_path: Path, option: list[str]):
    (tmp_path / "long.txt").write_text("warm grey 1 2 3 " * 100 + "\n")
    ask = ["evaluate", "tiny", "--text", str(tmp_path / "long.txt"), "--json"]
    plain, adapted = call_cli(trained, *ask).json, call_cli(trained, *ask, *option).json
    assert adapted["tokens"] == plain["tokens"]
    assert adapted["bits_per_character"] < plain["bits_per_character"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "nowhere.txt"], "no file nowhere.txt"),
        (["evaluate", "tiny", "--dynamic", "--cache", "9"], "choose one"),
        (
            ["evaluate", "tiny", "--cache", "9", "--rate", "1"],
            "--rate needs --dynamic, which",
        ),
        (["train", "nowhere.toml"], "cannot read config nowhere.toml"),
        (["train", "empty"], "is a directory without files"),
        (["train", "empty.txt"], r"empty \(0 bytes"),
        (["train", "same.txt"], "one character only, 'a'"),
        (["train", "binary.bin"], r"not text: tried utf-8 \(byte 0 is 0x89\)"),
        (["train", "bad.toml"], r"hiden_size \(did you mean.*batch_size = -1"),
        (["train", "tiny.toml", "--set", "training.budget"], "not an assignment"),
        (
            ["generate", "nobody", "--count", "3"],
            r"no model 'nobody' \(there are: tiny; `rnnlm train` makes",
        ),
        (["generate", "tiny/7", "--count", "3"], "no version '7' .*there are: 1"),
        (["generate", "tiny@best", "--count", "3"], "no alias 'best' .*there are: champion"),
        (["generate", "tiny", "--count", "0"], "--count '0' is out of range"),
        (["generate", "tiny", "--count", "9" * 100_000], r"--count '999.*… is out of range"),
        (["generate", "tiny", "--count", "many"], "--count 'many' is not a number"),
        (["generate", "tiny", "--count", "3", "--temperature", "-1"], "temperature = -1.0"),
        (["generate", "tiny", "--count", "3", "--prefix", "Ж"], "prefix 'Ж' has characters .*'Ж'"),
        (["generate", "tiny"], "number of texts not given.*--count"),
        (["generate", "tiny", "--count", "3", "--grammar", "("], "not a regular expression"),
        (["generate", "tiny", "--count", "3", "--grammar", "Ж"], "the vocabulary lacks 'Ж'"),
        (["generate", "tiny", "--count", "3", "--min-length", "99"], "above max_length = 30"),
        (["generate", "tiny", "--count", "3", "--given", "brand"], "expected KEY=VALUE"),
        (["generate", "tiny", "--count", "3", "--given", "brand=b"], "was not trained with"),
        (["generate", "tiny", "--prefixes", "nowhere.txt"], "nowhere.txt: no such file"),
        (["generate", "tiny", "--prefixes", "empty.txt"], "no line in empty.txt"),
        (["generate", "tiny", "--count", "3", "--precision", "int4"], "precision = 'int4'"),
        (["evaluate", "tiny", "--text", "nowhere.txt"], "no file nowhere.txt"),
        (["promote", "tiny", "7"], "no version '7'"),
        (["rollback", "tiny"], "no champion before version 1"),
        (["frobnicate"], "No such command 'frobnicate'"),
    ],
)
def test_bad_input_is_a_one_line_error(trained: Path, arguments: list[str], message: str):
    (trained / "empty").mkdir(exist_ok=True)
    (trained / "empty.txt").write_bytes(b"")
    (trained / "same.txt").write_text("aaaa\n" * 100)
    (trained / "binary.bin").write_bytes(b"\x89PNG\r\n\x00\x00" * 50)
    (trained / "bad.toml").write_text(
        '[corpus]\nsource = "tiny.txt"\n[model]\nhiden_size = 3\n[training]\nbatch_size = -1\n'
    )
    before = sorted(
        str(path) for path in (trained / "data").rglob("*") if "prefect" not in str(path)
    )
    finished = call_cli(trained, *arguments)
    assert finished.status != 0
    assert finished.out == ""
    error = finished.err.strip()
    assert error.count("\n") == 0
    assert error.startswith("error: ")
    assert len(error) < 500
    assert re.search(message, error), error
    after = sorted(
        str(path) for path in (trained / "data").rglob("*") if "prefect" not in str(path)
    )
    assert after == before


def test_an_error_with_json_output_is_one_object(trained: Path):
    finished = call_cli(trained, "generate", "nobody", "--count", "3", "--json")
    assert finished.status == 1
    assert "nobody" in finished.json["error"]


@pytest.mark.slow
def test_inspect_shows_a_corpus_and_trains_nothing(tmp_path: Path):
    rows = [
        {"title": f"Song {n}", "lyrics": f"la la {n} {'do re mi ' * (n % 7)}"} for n in range(200)
    ]
    (tmp_path / "songs.jsonl").write_text(
        "".join(json.dumps(row) + "\n" for row in rows[:150] + rows)
    )
    (tmp_path / "songs.toml").write_text(
        """
        [corpus]
        source = "songs.jsonl"
        render = "{title}: {lyrics}"
        documents = "whole"
        [splits]
        validation = 0.2
        test = 0.2
        [tokenizer]
        kind = "word"
        """
    )
    shown = fork_cli(tmp_path, "inspect", "songs.toml")
    assert shown.status == 0, shown.err
    assert "150 repeated" in shown.out
    assert "10 documents as the model sees them" in shown.out
    assert "<eos>" in shown.out
    result = fork_cli(tmp_path, "inspect", "songs.toml", "--workers", "2", "--json").json
    assert sum(result["corpus"]["documents"].values()) == 200
    assert (tmp_path / "data" / "tokens" / "songs").is_dir()
    assert Path(result["report"]["path"]).is_file()
    assert not (tmp_path / "data" / "models").exists()


def test_corpora_lists_the_catalog(tmp_path: Path):
    listed = call_cli(tmp_path, "corpora", "--json").json["corpora"]
    demo = next(entry for entry in listed if entry["name"] == "colors-demo")
    assert demo["here"]
    recipes = next(entry for entry in listed if entry["name"] == "recipes")
    assert recipes["files"] == 412
    assert "Wikibooks" in recipes["licence"]
    shown = call_cli(tmp_path, "corpora").out
    assert all(entry["name"] in shown for entry in listed)
    assert len(listed) >= 9


@pytest.mark.slow
@pytest.mark.parametrize(
    "how",
    [
        signal.SIGINT,
        pytest.param(signal.SIGTERM, marks=pytest.mark.soak),
        pytest.param(signal.SIGKILL, marks=pytest.mark.soak),
    ],
)
def test_a_stopped_run_leaves_no_process_and_resumes(tmp_path: Path, how: signal.Signals):
    write_tiny(tmp_path)
    command = [sys.executable, "-m", "flows.cli", "train", "tiny.toml", "--json"]
    command += ["--set", "training.budget=80 epochs", "--set", "training.patience=1000"]
    command += ["--set", "training.validations=25"]
    environment = {**os.environ, "RNNLM_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command,
        cwd=tmp_path,
        env={**environment, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        deadline = time.monotonic() + 120
        while not [*tmp_path.glob("data/models/tiny/*/best.safetensors")]:
            assert time.monotonic() < deadline
            assert process.poll() is None, process.communicate()
            time.sleep(0.05)
        assert len(processes(tmp_path)) == 1
        process.send_signal(how)
        out, err = process.communicate(timeout=60)
    if how != signal.SIGKILL:
        assert process.returncode == 130
        assert "run the same command again to resume" in json.loads(out)["error"]
        assert "Traceback" not in err
        last = next(tmp_path.glob("data/models/tiny/*/last.safetensors"))
        assert last.stat().st_size > 0
        assert err.count("error: ") == 1
    deadline = time.monotonic() + 15
    while processes(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not processes(tmp_path)
    finished = run_cli(tmp_path, *command[3:])
    assert finished.status == 0, finished.err
    assert finished.json["version"] == 1


@pytest.mark.slow
@pytest.mark.soak
def test_two_concurrent_first_runs_both_succeed(tmp_path: Path):
    (tmp_path / "one.txt").write_text(lines(150))
    (tmp_path / "two.txt").write_text(lines(150).upper())
    settings = ["--set", "training.budget=1 epoch", "--set", "gate.beat_ngrams=false"]
    environment = {**os.environ, "RNNLM_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "flows.cli", "train", name, *settings],
            cwd=tmp_path,
            env={**environment, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in ("one.txt", "two.txt")
    ]
    for process in running:
        _, err = process.communicate(timeout=200)
        assert process.returncode == 0, err
    listed = fork_cli(tmp_path, "models", "--json").json["models"]
    assert {model["name"]: model["alias"] for model in listed} == {
        "one": "champion",
        "two": "champion",
    }
