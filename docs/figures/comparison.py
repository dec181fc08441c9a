"""Install four tools, train on one text with each, and write the tables of docs/comparison.md.

    python docs/figures/comparison.py --sources FOLDER [--only rnnlm,…] [--texts colours,alice]
        [--old-python python3.8] [--seconds 240]

FOLDER contains clones of char-rnn.pytorch and nanoGPT. Each tool gets an empty environment, and the
lines that its README gives are run one after the other; the page shows them. The texts are the
colours of the demo and, if RNNLM_CORPORA is set, novels/alice_in_wonderland.txt. Training is
interrupted after `--seconds` CPU-seconds, as with Ctrl-C; both char-rnn.pytorch and textgenrnn
keep what they have learned by then. Results are kept in data/comparison/, and the page is written
from them, so that tools can be measured in several runs.
"""

import argparse
import json
import os
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import psutil

from rnnlm.audit.words import open_words, write_words
from rnnlm.corpora.catalog import xkcd_colors

PAGE = ROOT / "docs" / "comparison.md"
KEPT = ROOT / "data" / "comparison"
TEMPERATURES = (0.7, 1.0)
"""Temperatures at which every tool draws texts, in addition to its default."""
CHARACTERS, FEWER = 12_000, 3_000
"""Least number of characters to draw at each temperature, and the same for textgenrnn, which needs
over 10 ms for each."""
SHOWN_LINES, SHOWN_CHARACTERS = 8, 600
"""What the page shows of the screen at the end of training, and of the first text."""
NANOGPT_SETTINGS = (
    "--device=cpu --compile=False --eval_iters=20 --log_interval=1 --block_size=64 --batch_size=12 "
    "--n_layer=4 --n_head=4 --n_embd=128 --max_iters=2000 --lr_decay_iters=2000 --dropout=0.0"
)
CLOCK = "import time; print('\\n##', time.process_time(), time.time())"
"""A line for Python's prompt that prints CPU and wall time."""


class Step(NamedTuple):
    """Some lines that were typed, the time they took, and what was on the screen.

    Attributes:
        lines: The lines.
        cpu_seconds: CPU time of all processes, in seconds.
        seconds: Wall time in seconds.
        screen: Standard output and standard error.
        interrupted: Whether the time was up before the lines had ended.
    """

    lines: tuple[str, ...]
    cpu_seconds: float
    seconds: float
    screen: str
    interrupted: bool = False


class Bench(NamedTuple):
    """Where a tool is measured.

    Attributes:
        folder: An empty folder that contains `book.txt` and the environment `venv`.
        limit: Training is interrupted after this many CPU-seconds.
        sources: Folder with clones of the other tools.
    """

    folder: Path
    limit: float
    sources: Path

    def do(self, *lines: str, where: str = ".", limited: bool = False, given: str = "") -> Step:
        """Run lines in a shell whose PATH begins with the environment's programs.

        Args:
            lines: The lines.
            where: Folder to run them in, relative to the bench.
            limited: Whether to interrupt them at the limit.
            given: Standard input.
        """
        kept = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(("RNNLM_", "PYTHON", "PREFECT_", "MLFLOW_", "VIRTUAL_ENV"))
        }
        kept |= {
            "PATH": f"{self.folder / 'venv' / 'bin'}:{kept['PATH']}",
            "OMP_NUM_THREADS": "1",
            "TF_NUM_INTRAOP_THREADS": "1",
            "TF_NUM_INTEROP_THREADS": "1",
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "PIP_CONSTRAINT": str(self.folder / "constraint.txt"),
            "PIP_NO_CACHE_DIR": "1",
        }
        before, began = _children(), time.monotonic()
        interrupted = False
        with tempfile.TemporaryFile() as screen, tempfile.TemporaryFile() as typed:
            typed.write(given.encode())
            typed.seek(0)
            with subprocess.Popen(
                ["/bin/bash", "-e", "-c", "\n".join(lines)],
                cwd=self.folder / where, env=kept, stdin=typed, stdout=screen,
                stderr=subprocess.STDOUT, start_new_session=True,
            ) as running:  # fmt: skip
                while running.poll() is None:
                    time.sleep(0.2)
                    if limited and not interrupted and _spent(running.pid) > self.limit:
                        os.killpg(running.pid, signal.SIGINT)
                        interrupted = True
            seconds, spent = time.monotonic() - began, _children() - before
            screen.seek(0)
            shown = screen.read().decode("utf-8", "replace")
        if running.returncode and not interrupted:
            sys.exit(f"{shlex.join(lines)} failed:\n{shown[-3000:]}")
        return Step(lines, spent, seconds, shown, interrupted)

    def take(self, name: str) -> None:
        """Copy a clone into the folder."""
        shutil.copytree(self.sources / name, self.folder / name)


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _spent(process: int) -> float:
    """Return the CPU-seconds of a process and of all processes that it has started."""
    total = 0.0
    try:
        first = psutil.Process(process)
        for one in (first, *first.children(recursive=True)):
            total += sum(one.cpu_times()[:4])
    except psutil.NoSuchProcess:
        pass
    return total


def measure_rnnlm(bench: Bench) -> dict[str, Any]:
    """Measure this checkout, as it is committed."""
    packed = subprocess.run(["git", "archive", "HEAD"], cwd=ROOT, stdout=subprocess.PIPE, check=True)
    (bench.folder / "rnnlm").mkdir()
    subprocess.run(["tar", "-x", "-C", bench.folder / "rnnlm"], input=packed.stdout, check=True)
    installed = bench.do("pip install ./rnnlm")
    trained = bench.do("rnnlm train book.txt")
    sampled = bench.do("rnnlm sample book")
    drawn = {}
    for name, option in (("default", ""), *((str(t), f"-t {t}") for t in TEMPERATURES)):
        count = 5
        texts: list[dict[str, Any]] = []
        while sum(len(text["text"]) for text in texts) < CHARACTERS:
            count *= 4
            said = bench.do(f"rnnlm sample book -n {count} --seed 1 --json {option}").screen
            texts = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
        drawn[name] = [
            text["text"] if text["complete"] else _whole_words(text["text"]) for text in texts
        ]
        if name == "default":
            default = f"{texts[0]['temperature']:g}"
    return _result((installed,), trained, sampled, (), default, drawn)


def measure_char_rnn(bench: Bench) -> dict[str, Any]:
    """Measure char-rnn.pytorch."""
    name = "char-rnn.pytorch"
    bench.take(name)
    edits = (
        "sed -i 's/loss.data\\[0\\]/loss.item()/' train.py",
        "sed -i 's/file_len - chunk_len)/file_len - chunk_len - 1)/' train.py",
        "sed -i 's/torch.load(args.filename)/torch.load(args.filename, weights_only=False)/' "
        "generate.py",
    )
    installed = bench.do("pip install torch unidecode tqdm", f"cd {name}")
    bench.do(*edits, where=name)
    trained = bench.do("python train.py ../book.txt", where=name, limited=True)
    sampled = bench.do("python generate.py book.pt", where=name)
    drawn = {}
    for label, option in (("default", ""), *((str(t), f" -t {t}") for t in TEMPERATURES)):
        line = f"python generate.py book.pt -l {CHARACTERS}{option}"
        drawn[label] = [_whole_words(bench.do(line, where=name).screen.rstrip("\n"))]
    return _result((installed,), trained, sampled, edits, "0.8", drawn)


def measure_nanogpt(bench: Bench) -> dict[str, Any]:
    """Measure nanoGPT with the settings that its README gives for computers without a GPU."""
    bench.take("nanoGPT")
    installed = bench.do(
        "pip install torch numpy transformers datasets tiktoken wandb tqdm", "cd nanoGPT"
    )
    prepared = bench.do(
        "cp ../book.txt data/shakespeare_char/input.txt",
        "python data/shakespeare_char/prepare.py",
        where="nanoGPT",
    )
    trained = bench.do(
        f"python train.py config/train_shakespeare_char.py {NANOGPT_SETTINGS}",
        where="nanoGPT",
        limited=True,
    )
    line = "python sample.py --out_dir=out-shakespeare-char --device=cpu"
    sampled = bench.do(line, where="nanoGPT")
    drawn = {}
    for label, option in (("default", ""), *((str(t), f" --temperature={t}") for t in TEMPERATURES)):
        said = bench.do(f"{line} --num_samples={CHARACTERS // 500}{option}", where="nanoGPT").screen
        drawn[label] = [_whole_words(text) for text in _nanogpt_texts(said)]
    shown = sampled._replace(screen=_nanogpt_texts(sampled.screen)[0].lstrip("\n"))
    return _result((installed, prepared), trained, shown, (), "0.8", drawn)


def _nanogpt_texts(screen: str) -> list[str]:
    """Return the texts that nanoGPT's sample.py has printed."""
    said = screen.rpartition("meta.pkl...\n")[2]
    return [text.rstrip("\n") for text in said.split("---------------\n")[:-1]]


def measure_textgenrnn(bench: Bench) -> dict[str, Any]:
    """Measure textgenrnn with the last TensorFlow that it works with."""
    installed = bench.do(
        'pip install textgenrnn "tensorflow<2.4" "keras==2.3.1" "h5py<3" "protobuf<3.21"'
    )
    train = (
        "from textgenrnn import textgenrnn",
        "textgen = textgenrnn()",
        "textgen.train_from_file('book.txt', num_epochs=1)",
    )
    generate = "textgen.generate()"
    draws = "\n".join(
        f"draw({label!r}{option})"
        for label, option in (("default", ""), *((str(t), f", temperature={t}") for t in TEMPERATURES))
    )
    session = (
        "import signal; signal.signal(signal.SIGPROF, signal.default_int_handler)\n"
        f"signal.setitimer(signal.ITIMER_PROF, {bench.limit})\n"
        f"{CLOCK}\n" + "\n".join(train) + "\nsignal.setitimer(signal.ITIMER_PROF, 0)\n"
        f"{CLOCK}\n{generate}\n{CLOCK}\n"
        "def draw(label, **options):\n"
        "    texts = []\n"
        f"    while sum(map(len, texts)) < {FEWER}:\n"
        "        texts += textgen.generate(return_as_list=True, **options)\n"
        "    import json; print('\\n@@', json.dumps([label, texts]))\n"
        f"\n{draws}\n"
    )
    said = bench.do("python -i -u", given=session)
    lines = said.screen.splitlines()
    times = [[float(word) for word in line.split()[1:]] for line in lines if line.startswith("##")]
    places = [number for number, line in enumerate(lines) if line.startswith("##")]
    trained, sampled = (
        Step(
            typed,
            times[n + 1][0] - (times[n][0] if n else 0),
            times[n + 1][1] - times[n][1],
            "\n".join(line.replace(">>> ", "") for line in lines[places[n] + 1 : places[n + 1]]),
            n == 0 and "KeyboardInterrupt" in said.screen,
        )
        for n, typed in enumerate((("python", *train), (generate,)))
    )
    found = [json.loads(line[2:]) for line in lines if line.startswith("@@")]
    drawn = {
        label: [text if len(text) < 299 else _whole_words(text) for text in texts]
        for label, texts in found
    }
    return _result((installed,), trained, sampled, (), "1, 0.5, 0.2, 0.2 in turn", drawn)


def _whole_words(text: str) -> str:
    """Return a text without the word at its end, which was cut."""
    end = len(text)
    while end and (text[end - 1].isalpha() or text[end - 1] in "'’"):
        end -= 1
    return text[:end]


def _result(
    before: Sequence[Step],
    trained: Step,
    sampled: Step,
    edits: Sequence[str],
    default: str,
    drawn: dict[str, list[str]],
) -> dict[str, Any]:
    """Return what is kept of a tool: steps, edits, default temperature, and texts by temperature."""
    steps = [*before, trained, sampled]
    return {
        "steps": [step._asdict() for step in steps],
        "edits": [*edits],
        "default": default,
        "drawn": drawn,
    }


TOOLS = {
    "rnnlm": measure_rnnlm,
    "textgenrnn": measure_textgenrnn,
    "char-rnn.pytorch": measure_char_rnn,
    "nanoGPT": measure_nanogpt,
}


def texts() -> dict[str, str]:
    """Return the texts to train on, by name."""
    rows = [(row["name"], str(row["hex"]).lstrip("#")) for row in xkcd_colors()]
    lines = [
        " ".join([name, *(str(int(code[n : n + 2], 16)) for n in (0, 2, 4))]) for name, code in rows
    ]
    found = {"colours": "\n".join(lines) + "\n"}
    if corpora := os.environ.get("RNNLM_CORPORA"):
        found["alice"] = (Path(corpora) / "novels/alice_in_wonderland.txt").read_text("utf-8")
    return found


def measure(tool: str, text: str, python: str, limit: float, sources: Path) -> dict[str, Any]:
    """Measure a tool on a text in a new environment; return what `_result` returns, and more.

    Added are `megabytes`, the size of the environment, and for each temperature in `words` the
    number of words that exist and of all words in the drawn texts.
    """
    with tempfile.TemporaryDirectory() as scratch:
        bench = Bench(Path(scratch), limit, sources)
        (bench.folder / "book.txt").write_text(text, "utf-8")
        subprocess.run([python, "-m", "venv", bench.folder / "venv"], check=True)
        pins = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
        torch = [pin for pin in pins if pin.startswith("torch==")]
        (bench.folder / "constraint.txt").write_text("\n".join(torch) + "\n")
        result = TOOLS[tool](bench)
        size = subprocess.run(
            ["du", "-sm", bench.folder / "venv"], stdout=subprocess.PIPE, check=True
        )
        write_words(bench.folder, [text])
        known = open_words(bench.folder)
        result["words"] = {name: known.count(drawn) for name, drawn in result["drawn"].items()}
        return {**result, "megabytes": int(size.stdout.split()[0])}


def timetable(results: dict[str, dict[str, Any]]) -> Iterator[str]:
    """Yield the lines of a table of the tools' steps."""
    yield (
        "| tool | lines typed | edits | installed MB | install | train | first text | "
        "together | wall: install | train | first text |"
    )
    yield "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|"
    for tool, result in results.items():
        steps = result["steps"]
        parts = (steps[:1], steps[1:-1], steps[-1:])
        spent = [sum(step["cpu_seconds"] for step in part) for part in parts]
        waited = [sum(step["seconds"] for step in part) for part in parts]
        mark = "*" if any(step["interrupted"] for step in steps) else ""
        cells = [
            tool,
            str(sum(len(step["lines"]) for step in steps)),
            str(len(result["edits"])),
            f"{result['megabytes']:,}",
            f"{spent[0]:.0f}",
            f"{spent[1]:.0f}{mark}",
            f"{spent[2]:.1f}",
            f"{sum(spent):.0f}",
            f"{waited[0]:.0f}",
            f"{waited[1]:.0f}",
            f"{waited[2]:.1f}",
        ]
        yield f"| {' | '.join(cells)} |"


def quality(results: dict[str, dict[str, Any]]) -> Iterator[str]:
    """Yield the lines of a table of the shares of existing words."""
    at = " | ".join(f"at {t:g}" if n else f"words at {t:g}" for n, t in enumerate(TEMPERATURES))
    yield f"| tool | default temperature | words at default | {at} | words counted at 0.7 |"
    yield f"|---|---|---:|{'---:|' * len(TEMPERATURES)}---:|"
    for tool, result in results.items():
        shares = [known / total for known, total in result["words"].values()]
        counted = result["words"][str(TEMPERATURES[0])][1]
        cells = [tool, result["default"], *(f"{share:.1%}" for share in shares), f"{counted:,}"]
        yield f"| {' | '.join(cells)} |"


def screens(results: dict[str, dict[str, Any]]) -> Iterator[str]:
    """Yield what was typed and what was on the screen, by tool."""
    for tool, result in results.items():
        yield f"\n### {tool}\n\n```sh"
        steps = result["steps"]
        for step in steps[:-1]:
            yield from step["lines"]
            if step is steps[0]:
                yield from result["edits"]
        yield from steps[-1]["lines"]
        yield "```\n\nThe end of training:\n\n```text"
        yield from _last_lines(steps[-2]["screen"])
        yield "```\n\nThe first text:\n\n```text"
        first = steps[-1]["screen"].strip("\n")
        yield first if len(first) <= SHOWN_CHARACTERS else first[:SHOWN_CHARACTERS] + " …"
        yield "```"


def _last_lines(screen: str) -> list[str]:
    """Return the last lines of a screen: of lines that overwrite themselves, what was left."""
    shown = [line.rstrip("\r").rpartition("\r")[2].rstrip() for line in screen.split("\n")]
    return [line[:160] for line in shown if line][-SHOWN_LINES:]


def write_page() -> None:
    """Put the tables of all kept results between their marks on the page."""
    page = PAGE.read_text("utf-8")
    for kept in sorted(KEPT.glob("*.json")):
        found = json.loads(kept.read_text("utf-8"))
        results = {tool: found[tool] for tool in TOOLS if tool in found}
        for name, make in (("steps", timetable), ("words", quality), ("screens", screens)):
            begin, end = f"<!-- {kept.stem} {name} -->", f"<!-- end of {kept.stem} {name} -->"
            if begin in page:
                before, _, rest = page.partition(begin)
                made = "\n".join(make(results)).strip("\n")
                page = f"{before}{begin}\n\n{made}\n\n{end}{rest.partition(end)[2]}"
    PAGE.write_text(page, "utf-8")


def main() -> None:
    """Measure the tools and write the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--sources", type=Path, required=True, help="folder with the clones")
    parser.add_argument("--only", default=",".join(TOOLS), help="tools, with commas between")
    parser.add_argument("--texts", default=",".join(texts()), help="texts, with commas between")
    parser.add_argument("--old-python", default="python3.8", help="Python for textgenrnn")
    parser.add_argument("--seconds", type=float, default=240, help="CPU-seconds of training")
    options = parser.parse_args()
    KEPT.mkdir(parents=True, exist_ok=True)
    for name in options.texts.split(","):
        kept = KEPT / f"{name}.json"
        for tool in options.only.split(","):
            python = options.old_python if tool == "textgenrnn" else sys.executable
            print(f"{tool} on {name}", file=sys.stderr, flush=True)
            result = measure(tool, texts()[name], python, options.seconds, options.sources)
            found = json.loads(kept.read_text("utf-8")) if kept.is_file() else {}
            kept.write_text(json.dumps(found | {tool: result}, ensure_ascii=False), "utf-8")
    write_page()


if __name__ == "__main__":
    main()
