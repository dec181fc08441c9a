"""Measure what Prefect and MLflow cost: `rnnlm train` compared with the library calls alone.

    python benchmarks/overhead.py [--minutes 10] [--logging-minutes 10] [--json FILE]

1. A training job of about `--minutes` minutes: a character LSTM with two layers of 256 units, on
   random words. `rnnlm train` runs it with its embedded Prefect server and MLflow store, both newly
   created; a plain Python script makes the same library calls in the same order, into the same
   kinds of folders. Each run is a separate process, timed from start to exit. The order is plain,
   flow, flow, plain, so that a machine that becomes slower or faster affects both sides. The
   training loop is also timed separately, because overhead outside it occurs once, whereas overhead
   inside it grows with every minute. CPU seconds of the command and all its children, the server
   included, are reported too, since other work on the machine hardly affects them.
2. The same command again, when the results of all steps are cached.
3. Logging: every few seconds, a training run switches between sending 1,000 points (metric values)
   a minute to MLflow and sending none. The training rate of each turn with logging is compared with
   that of the turns around it. On a shared machine this leaves a percent or two of noise, so the
   cost of logging is also measured directly: the time that training spends handing points over to
   the sending thread, and the CPU time of that thread.
"""

import sys

sys.path[0] = sys.path[0].removesuffix("/benchmarks")  # tokenize.py there hides Python's own

import argparse
import contextlib
import json
import os
import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from statistics import fmean, median, stdev
from typing import Any, NamedTuple

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
from rnnlm.evaluation.held_out import score_test_split
from rnnlm.generation.manifest import Source
from rnnlm.generation.job import generate
from rnnlm.report import write_report
from rnnlm.review.page import write_review
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
PROBE_TOKENS = 1_500_000
FLOW = [sys.executable, "-m", "flows.cli", "train", "words.toml", "--json"]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--logging-minutes", type=float, default=10.0)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        os.environ.update(OMP_NUM_THREADS="1", RNNLM_HOME=folder, PYTHONPATH=str(ROOT))
        write_words(Path("words.txt"))
        result = job(asked.minutes)
        show_job(result)
        logged = logging_cost(asked.logging_minutes * 60)
        show_logging(logged)
    if asked.json:
        asked.json.write_text(json.dumps(result | logged, indent=2))


def show_job(result: dict[str, Any]) -> None:
    """Print the figures of both sides of the job."""
    plain, flow = fmean(result["plain_seconds"]), fmean(result["flow_seconds"])
    loops = fmean(result["plain_training_seconds"]), fmean(result["flow_training_seconds"])
    processor = fmean(result["plain_processor_seconds"]), fmean(result["flow_processor_seconds"])
    rows = [
        ("library calls alone", seconds_of(result["plain_seconds"]), ""),
        ("rnnlm train", seconds_of(result["flow_seconds"]), f"{flow / plain - 1:+.1%}"),
        ("  loop of training, alone", seconds_of(result["plain_training_seconds"]), ""),
        (
            "  loop of training, in the flow",
            seconds_of(result["flow_training_seconds"]),
            f"{loops[1] / loops[0] - 1:+.1%}",
        ),
        ("  around it, alone", f"{plain - loops[0]:.1f} s", ""),
        ("  around it, in the flow", f"{flow - loops[1]:.1f} s", ""),
        ("  processor, alone", seconds_of(result["plain_processor_seconds"]), ""),
        (
            "  processor, in the flow",
            seconds_of(result["flow_processor_seconds"]),
            f"{processor[1] / processor[0] - 1:+.1%}",
        ),
        ("rnnlm train again, all cached", f"{result['cached_seconds']:.1f} s", ""),
    ]
    for row in rows:
        print_row(*row)


def show_logging(logged: dict[str, float]) -> None:
    """Print the cost of logging."""
    change = f"{logged['change']:+.1%}"
    print_row("training, nothing logged", f"{logged['tokens_per_second_silent']:,.0f} tokens/s", "")
    rate = f"{logged['tokens_per_second_logged']:,.0f} tokens/s"
    print_row(f"training, {logged['points_a_minute']:,.0f} points a minute", rate, change)
    print_row("  standard error of that", "", f"{logged['standard_error']:.1%}")
    print_row("  handing points over", "", f"{logged['handing_over']:.2%}")
    print_row("  sending them, in another thread", "", f"{logged['sending']:.2%}")


def seconds_of(values: list[float]) -> str:
    """Return the mean of several measured times, and the times themselves, as text."""
    return f"{fmean(values):.1f} s ({', '.join(f'{value:.1f}' for value in values)})"


def print_row(what: str, amount: str, change: str) -> None:
    """Print one line of the table: what was measured, the amount, the change in percent."""
    print(f"  {what:<40} {amount:>28} {change:>8}", flush=True)


def job(minutes: float) -> dict[str, Any]:
    """Run a job of about `minutes` twice by library calls alone and twice by `rnnlm train`.

    Returns:
        The times of both sides by name, in seconds, and the time of `rnnlm train` when everything
        is cached.
    """
    write_config(PROBE_TOKENS)
    rate = PROBE_TOKENS / plain().training_seconds
    write_config(int(rate * minutes * 60))
    first, *flows, last = plain(), flow(), flow(), plain()
    both = {"plain": (first, last), "flow": flows}
    figures = {
        f"{side}_{field}": [getattr(took, field) for took in pair]
        for side, pair in both.items()
        for field in Took._fields
    }
    return figures | {"cached_seconds": median(timed(FLOW)[0] for _ in range(3))}


class Took(NamedTuple):
    """The time that one run took.

    Attributes:
        seconds: Wall time of the whole command.
        training_seconds: Wall time of the training loop.
        processor_seconds: CPU time of the command and all its children.
    """

    seconds: float
    training_seconds: float
    processor_seconds: float


def plain() -> Took:
    """Run the library calls alone, in a separate process; return the time that they took."""
    shutil.rmtree("plain", ignore_errors=True)
    whole, processor = timed([sys.executable, "-c", PLAIN, str(ROOT)])
    return Took(whole, trained_seconds(Path("plain")), processor)


def flow() -> Took:
    """Run `rnnlm train` in an empty home; return the time that it took."""
    for made in ("data", "mlruns"):
        shutil.rmtree(made, ignore_errors=True)
    whole, processor = timed(FLOW)
    return Took(whole, trained_seconds(Path("data")), processor)


def trained_seconds(folder: Path) -> float:
    """Return the seconds that training took, by the histories of training runs in a folder.

    Of the two training runs, the longer one counts; the other only counts n-grams.
    """
    histories = [path.read_text().splitlines() for path in folder.rglob("history.jsonl")]
    return max(float(json.loads(rows[-1])["seconds"]) for rows in histories)


def timed(command: list[str]) -> tuple[float, float]:
    """Run a command; return its wall time and the CPU time of its process tree, in seconds."""
    began, used = time.monotonic(), processor_seconds()
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    return time.monotonic() - began, processor_seconds() - used


def processor_seconds() -> float:
    """Return the CPU seconds of all ended child processes, including their children."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


class Turns:
    """A progress callback that alternates between turns (periods) without and with logging.

    It records the training rate of each turn in `rates`, in tokens per second. In turns with
    logging, it counts the points that it logged and the seconds that this took.
    """

    def __init__(self, log_row: Callable[[dict[str, float]], None], ends: float) -> None:
        """Begin with a turn without logging.

        Args:
            log_row: Logs metrics by name.
            ends: Time of the monotonic clock at which training is interrupted.
        """
        self.rates: list[float] = []
        self.points, self.handing_over = 0, 0.0
        self._log_row, self._ends = log_row, ends
        self._begun, self._first, self._sent = time.monotonic(), 0.0, 0

    def __call__(self, progress: Any) -> None:
        """Log the points that are due after a training step."""
        now = time.monotonic()
        if len(self.rates) % 2:
            self._log(progress, now)
        if now - self._begun >= TURN_SECONDS:
            self.rates.append((progress.done - self._first) / (now - self._begun))
            self._begun, self._first, self._sent = now, progress.done, 0
        if now >= self._ends:
            raise KeyboardInterrupt

    def _log(self, progress: Any, now: float) -> None:
        wanted = int((now - self._begun) * POINTS_A_MINUTE / 60)
        if wanted >= self._sent + 5:
            figures = {f"overhead/{n}": float(n) for n in range(wanted - self._sent - 1)}
            place = {"step": progress.step, "tokens": progress.done, "seconds": 0.0}
            self._log_row(place | figures)
            self.handing_over += time.monotonic() - now
            self.points += wanted - self._sent
            self._sent = wanted


def logging_cost(seconds: float) -> dict[str, float]:
    """Train for some seconds with and without logging to MLflow, in turns; return its cost.

    Returns:
        Training tokens per second without and with logging, points logged per minute, the relative
        change of the rate with its standard error, and the shares of the time that handing over and
        sending points take.
    """
    from flows import tracking
    from flows.runtime import home
    from flows.tracking import live
    from rnnlm.config import load
    from rnnlm.corpora.ingestion import Corpus
    from rnnlm.dataset import Tokens
    from rnnlm.training.api import train

    write_config(10**9)
    here, experiment = home.current(), load(Path("words.toml"))
    corpus = Corpus.model_validate(recorded("corpora"))
    tokens = Tokens.model_validate(recorded("tokens"))
    sending = [0.0]
    log_metrics = live.log_metrics

    def counted(*arguments: Any) -> None:
        began = time.thread_time()
        log_metrics(*arguments)
        sending[0] += time.thread_time() - began

    live.log_metrics = counted  # type: ignore[assignment]
    with tracking.live_run(here, experiment, corpus, tokens, "overhead", Path("overhead")) as run:
        turns = Turns(run.log_row, time.monotonic() + seconds)
        with contextlib.suppress(KeyboardInterrupt):
            train(tokens.uri, experiment, Path("overhead"), turns)
    rates = turns.rates[2:]  # the first two warm up
    silent, logged = rates[::2], rates[1::2]
    around = [(a + b) / 2 for a, b in pairwise(silent)]
    changes = [value / level - 1 for value, level in zip(logged, around, strict=False)]
    logged_seconds = TURN_SECONDS * (len(turns.rates) // 2)
    return {
        "tokens_per_second_silent": median(silent),
        "tokens_per_second_logged": median(logged),
        "points_a_minute": 60 * turns.points / logged_seconds,
        "change": fmean(changes),
        "standard_error": stdev(changes) / len(changes) ** 0.5,
        "handing_over": turns.handing_over / logged_seconds,
        "sending": sending[0] / logged_seconds,
    }


def recorded(kind: str) -> dict[str, Any]:
    """Return the stored result of a step of the flow."""
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
    """Write the experiment's config with a budget of this many tokens."""
    Path("words.toml").write_text(CONFIG.format(tokens=tokens))


if __name__ == "__main__":
    main()
