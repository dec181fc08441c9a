"""What orchestration and tracking cost: the whole flow beside the same library calls alone.

    python benchmarks/overhead.py [--minutes 10] [--logging-seconds 60] [--json FILE]

1. A job of about so many minutes (character LSTM 2×256 on random words): `rnnlm train` with its
   embedded Prefect server and MLflow store, beside plain Python that makes the same library calls
   in the same order, into the same kinds of folders. Both train on the same tokens; each is a
   process of its own, and its whole life counts.
2. The same command again, when all of it is cached.
3. Logging: steps of training per second while 1,000 points a minute go to MLflow, and while none
   do, in turns of a few seconds, so that both meet the same machine.
"""

import sys

sys.path[0] = sys.path[0].removesuffix("/benchmarks")  # tokenize.py there hides Python's own

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
CONFIG = """
[corpus]
source = "words.txt"
documents = "lines"
[model]
embedding_size = 64
hidden_size = 256
num_layers = 2
[training]
batch_size = 64
budget = "{tokens} tokens"
patience = 10000
[generation]
count = 1000
max_length = 60
[gate]
beat_ngrams = false
"""
PLAIN = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from rnnlm.config import ModelConfig, load
from rnnlm.corpora.files import locate
from rnnlm.corpora.ingestion import ingest
from rnnlm.dataset import tokenize
from rnnlm.evaluation import score_test_split
from rnnlm.generation.data_set import Source
from rnnlm.generation.job import generate
from rnnlm.report import write_report
from rnnlm.review import write_review
from rnnlm.training.api import train

out = Path("plain")
experiment = load(Path("words.toml"))
files = locate(experiment.corpus, out / "sources")
corpus = ingest(files, experiment.corpus, experiment.splits, out / "corpus")
tokens = tokenize(corpus.uri, corpus.digest, experiment.tokenizer, out / "tokens")
write_report(experiment.name, corpus, tokens, out / "tokens")
counted = experiment.model_copy(update={"model": ModelConfig(architecture="ngram")})
baseline = train(tokens.uri, counted, out / "baseline")
model = train(tokens.uri, experiment, out / "model")
paths = Path(model.checkpoint), Path(baseline.checkpoint)
scores = score_test_split(*paths, tokens.uri, out / "scores")
source = Source(uri=corpus.uri, digest=corpus.digest, baseline=paths[1])
generate(paths[0], experiment.generation, out / "texts", "text", source=source)
write_review(model.uri, *paths, scores, tokens.uri, "words", out / "review")
"""
POINTS_A_MINUTE = 1000
TURN_SECONDS = 6.0
PROBE_TOKENS = 400_000


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--logging-seconds", type=float, default=60.0)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        os.environ.update(OMP_NUM_THREADS="1", RNNLM_HOME=folder, PYTHONPATH=str(ROOT))
        write_words(Path("words.txt"))
        result = {**job(asked.minutes), **logging_cost(asked.logging_seconds)}
    show(result)
    if asked.json:
        asked.json.write_text(json.dumps(result, indent=2))


def show(result: dict[str, float]) -> None:
    """Print both sides of everything."""
    plain, flow = result["plain_seconds"], result["flow_seconds"]
    silent, logged = result["steps_silent"], result["steps_logged"]
    rows = [
        ("library calls alone", f"{plain:.1f} s", ""),
        ("rnnlm train", f"{flow:.1f} s", f"{flow / plain - 1:+.1%}"),
        ("rnnlm train again, all cached", f"{result['cached_seconds']:.1f} s", ""),
        ("  of which steps", f"{result['cached_steps_seconds']:.1f} s", ""),
        ("training, nothing logged", f"{silent:.2f} steps/s", ""),
        (
            f"training, {POINTS_A_MINUTE:,} points a minute",
            f"{logged:.2f} steps/s",
            f"{logged / silent - 1:+.2%}",
        ),
    ]
    for what, amount, change in rows:
        print(f"  {what:<40} {amount:>16} {change:>8}")


def job(minutes: float) -> dict[str, float]:
    """Return the seconds of a job of about so many minutes, alone and as a flow."""
    write_config(PROBE_TOKENS)
    rate = PROBE_TOKENS / train_seconds()
    write_config(int(rate * minutes * 60))
    plain = timed([sys.executable, "-c", PLAIN, str(ROOT)])
    command = [sys.executable, "-m", "flows.cli", "train", "words.toml", "--json"]
    flow = timed(command)
    cached, said = [], []
    for _ in range(3):
        began = time.monotonic()
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        cached.append(time.monotonic() - began)
        said.append(sum(json.loads(done.stdout)["seconds"].values()))
    return {
        "plain_seconds": plain,
        "flow_seconds": flow,
        "cached_seconds": median(cached),
        "cached_steps_seconds": median(said),
    }


def train_seconds() -> float:
    """Return the seconds that training takes in a job of plain calls."""
    timed([sys.executable, "-c", PLAIN, str(ROOT)])
    rows = Path("plain/model/history.jsonl").read_text().splitlines()
    shutil.rmtree("plain")
    return float(json.loads(rows[-1])["seconds"])


def timed(command: list[str]) -> float:
    """Return the seconds of a whole process."""
    began = time.monotonic()
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    return time.monotonic() - began


def logging_cost(seconds: float) -> dict[str, float]:
    """Return steps of training a second with and without points going to MLflow."""
    from flows import home, tracking
    from rnnlm.config import load
    from rnnlm.corpora.ingestion import Corpus
    from rnnlm.dataset import Tokens
    from rnnlm.progress import Progress
    from rnnlm.training.api import train

    here, experiment = home.current(), load(Path("words.toml"))
    corpus = Corpus.model_validate(recorded("corpora"))
    tokens = Tokens.model_validate(recorded("tokens"))
    rates: dict[bool, list[float]] = {False: [], True: []}
    is_logged, begun, steps, sent = False, time.monotonic(), 0, 0
    ends = begun + seconds
    with tracking.live_run(here, experiment, corpus, tokens, "overhead", Path("overhead")) as run:

        def tell(progress: Progress) -> None:
            nonlocal is_logged, begun, steps, sent
            now = time.monotonic()
            steps += 1
            wanted = int((now - begun) * POINTS_A_MINUTE / 60)
            if is_logged and wanted >= sent + 5:
                figures = {f"overhead/{n}": float(n) for n in range(wanted - sent - 1)}
                place = {"step": progress.step, "tokens": progress.step, "seconds": 0.0}
                run.log_row(place | figures)
                sent = wanted
            if now - begun >= TURN_SECONDS:
                rates[is_logged].append(steps / (now - begun))
                is_logged, begun, steps, sent = not is_logged, now, 0, 0
            if now >= ends:
                raise KeyboardInterrupt

        with contextlib.suppress(KeyboardInterrupt):
            train(tokens.uri, experiment, Path("overhead"), tell)
    return {"steps_silent": median(rates[False]), "steps_logged": median(rates[True])}


def recorded(kind: str) -> dict[str, Any]:
    """Return what a step of the flow wrote down."""
    record = next(Path("data", kind).rglob(".step.json"))
    result: dict[str, Any] = json.loads(record.read_text())["result"]
    return result


def write_words(path: Path) -> None:
    """Write half a megabyte of lines of invented words."""
    chance = np.random.default_rng(1)
    letters = np.array([*"etaoinshrdlu"])
    words = ["".join(chance.choice(letters, size)) for size in chance.integers(2, 9, 2000)]
    popular = 1.0 / np.arange(1, len(words) + 1)
    drawn = chance.choice(words, size=(10_000, 9), p=popular / popular.sum())
    path.write_text("\n".join(map(" ".join, drawn)) + "\n")


def write_config(tokens: int) -> None:
    """Write the experiment with a budget."""
    Path("words.toml").write_text(CONFIG.format(tokens=tokens))


if __name__ == "__main__":
    main()
