"""The tools of comparison.py: what a newcomer types to install, train and sample with each.

The lines are those of the tools' READMEs, and run as they are.
"""

import io
import json
import math
import os
import resource
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import psutil

ROOT = Path(__file__).resolve().parents[2]
TEMPERATURES = (0.7, 1.0)
"""Temperatures at which every tool draws texts, in addition to its default."""
CHARACTERS, FEWER = 6_000, 2_000
"""Least number of characters to draw at each temperature, and the same for textgenrnn, which needs
over 20 ms for each."""
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
        folder: A folder that contains `book.txt` and, except for textgenrnn, the tool's sources.
        environment: The Python environment that the tool is installed in.
        limit: Training is interrupted after this many CPU-seconds.
    """

    folder: Path
    environment: Path
    limit: float

    def do(
        self,
        *lines: str,
        where: str = ".",
        limited: bool = False,
        given: str = "",
        warnings: bool = True,
    ) -> Step:
        """Run lines in a shell whose PATH begins with the environment's programs.

        Args:
            lines: The lines.
            where: Folder to run them in, relative to the bench.
            limited: Whether to interrupt them at the limit.
            given: Standard input.
            warnings: Whether what is written to standard error belongs to the screen.
        """
        kept = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(("RNNLM_", "PYTHON", "PREFECT_", "MLFLOW_", "VIRTUAL_ENV"))
        }
        kept |= {
            "PATH": f"{self.environment / 'bin'}:{kept['PATH']}",
            "OMP_NUM_THREADS": "1",
            "TF_NUM_INTRAOP_THREADS": "1",
            "TF_NUM_INTEROP_THREADS": "1",
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "PIP_CONSTRAINT": str(self.environment / "constraint.txt"),
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
                stderr=subprocess.STDOUT if warnings else subprocess.DEVNULL,
                start_new_session=True,
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
            sys.exit(f"{'; '.join(lines)} failed:\n{shown[-3000:]}")
        return Step(lines, spent, seconds, shown, interrupted)


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
    """Measure this checkout."""
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
    return _result((), trained, sampled, (), default, drawn)


def measure_char_rnn(bench: Bench) -> dict[str, Any]:
    """Measure char-rnn.pytorch."""
    name = "char-rnn.pytorch"
    edits = (
        "sed -i 's/loss.data\\[0\\]/loss.item()/' train.py",
        "sed -i 's/file_len - chunk_len)/file_len - chunk_len - 1)/' train.py",
        "sed -i 's/torch.load(args.filename)/torch.load(args.filename, weights_only=False)/' "
        "generate.py",
    )
    bench.do(*edits, where=name)
    trained = bench.do("python train.py ../book.txt", where=name, limited=True)
    sampled = bench.do("python generate.py book.pt", where=name, warnings=False)
    drawn = {}
    for label, option in (("default", ""), *((str(t), f" -t {t}") for t in TEMPERATURES)):
        line = f"python generate.py book.pt -l {CHARACTERS}{option}"
        said = bench.do(line, where=name, warnings=False).screen
        drawn[label] = [_whole_words(said.rstrip("\n"))]
    return _result((), trained, sampled, edits, "0.8", drawn)


def measure_nanogpt(bench: Bench) -> dict[str, Any]:
    """Measure nanoGPT with the settings that its README gives for computers without a GPU."""
    prepared = bench.do(
        "cp ../book.txt data/shakespeare_char/input.txt",
        "python data/shakespeare_char/prepare.py",
        where="nanoGPT",
    )
    trained = bench.do(
        f"python train.py config/train_shakespeare_char.py {NANOGPT_SETTINGS}", where="nanoGPT"
    )
    line = "python sample.py --out_dir=out-shakespeare-char --device=cpu"
    sampled = bench.do(line, where="nanoGPT")
    drawn = {}
    for label, option in (
        ("default", ""),
        *((str(t), f" --temperature={t}") for t in TEMPERATURES),
    ):
        said = bench.do(f"{line} --num_samples={CHARACTERS // 500}{option}", where="nanoGPT").screen
        drawn[label] = [_whole_words(text) for text in _nanogpt_texts(said)]
    shown = sampled._replace(screen=_nanogpt_texts(sampled.screen)[0].lstrip("\n"))
    return _result((prepared,), trained, shown, (), "0.8", drawn)


def _nanogpt_texts(screen: str) -> list[str]:
    """Return the texts that nanoGPT's sample.py has printed."""
    said = screen.rpartition("meta.pkl...\n")[2]
    return [text.rstrip("\n") for text in said.split("---------------\n")[:-1]]


def measure_textgenrnn(bench: Bench) -> dict[str, Any]:
    """Measure textgenrnn."""
    train = (
        "from textgenrnn import textgenrnn",
        "textgen = textgenrnn()",
        "textgen.train_from_file('book.txt', num_epochs=2)",
    )
    generate = "textgen.generate()"
    draws = "\n".join(
        f"draw({label!r}{option})"
        for label, option in (
            ("default", ""),
            *((str(t), f", temperature={t}") for t in TEMPERATURES),
        )
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
    times = [[float(word) for word in line.split()[1:]] for line in lines if line.startswith("## ")]
    places = [number for number, line in enumerate(lines) if line.startswith("## ")]
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
    return _result((), trained, sampled, (), "1, 0.5, 0.2, 0.2 in turn", drawn)


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
    """Return what is kept of a tool: steps, edits, default temperature, texts by temperature."""
    steps = [*before, trained, sampled]
    return {
        "steps": [step._asdict() for step in steps],
        "edits": [*edits],
        "default": default,
        "drawn": drawn,
    }


class Installed(NamedTuple):
    """A tool's environment, the step that installed it, and its size on disk in MiB."""

    environment: Path
    step: Step
    mebibytes: int


class Tool(NamedTuple):
    """A tool.

    Attributes:
        install: The lines that install it, and enter the folder of its sources if it runs there.
        measure: Trains and samples on a bench; see `_result` for what it returns.
    """

    install: tuple[str, ...]
    measure: Callable[[Bench], dict[str, Any]]


TOOLS = {
    "rnnlm": Tool(("pip install ./rnnlm",), measure_rnnlm),
    "textgenrnn": Tool(  # with the last versions of its dependencies that it works with
        ('pip install textgenrnn "tensorflow<2.4" "keras==2.3.1" "h5py<3" "protobuf<3.21"',),
        measure_textgenrnn,
    ),
    "char-rnn.pytorch": Tool(
        ("pip install torch unidecode tqdm", "cd char-rnn.pytorch"), measure_char_rnn
    ),
    "nanoGPT": Tool(
        ("pip install torch numpy transformers datasets tiktoken wandb tqdm", "cd nanoGPT"),
        measure_nanogpt,
    ),
}


def fill(folder: Path, tool: str, text: str, sources: Path) -> None:
    """Make a folder with `book.txt` and a tool's sources; of this checkout, what is committed.

    Args:
        folder: The folder.
        tool: Name of the tool.
        text: The text.
        sources: Folder with clones of the other tools.
    """
    folder.mkdir()
    (folder / "book.txt").write_text(text, "utf-8")
    if tool == "rnnlm":
        (folder / tool).mkdir()
        pack = ["git", "archive", "HEAD"]
        packed = subprocess.run(pack, cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout
        with tarfile.open(fileobj=io.BytesIO(packed)) as files:
            files.extractall(folder / tool, filter="data")
    elif tool != "textgenrnn":
        shutil.copytree(sources / tool, folder / tool)


def install(tool: str, python: str, scratch: Path, sources: Path) -> Installed:
    """Install a tool into a new environment, `scratch`/TOOL."""
    environment = scratch / tool
    subprocess.run([python, "-m", "venv", environment], check=True)
    pins = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    torch = [pin for pin in pins if pin.startswith("torch==")]
    (environment / "constraint.txt").write_text("\n".join(torch) + "\n")
    folder = scratch / f"{tool}-sources"
    fill(folder, tool, "", sources)
    step = Bench(folder, environment, math.inf).do(*TOOLS[tool].install)
    count = ["du", "-sm", str(environment)]
    counted = subprocess.run(count, stdout=subprocess.PIPE, check=True).stdout
    return Installed(environment, step, int(counted.split()[0]))


def measure(
    tool: str, text: str, limit: float, installed: Installed, folder: Path, sources: Path
) -> dict[str, Any]:
    """Measure an installed tool on a text; return what `_result` returns and the size in MiB."""
    fill(folder, tool, text, sources)
    result = TOOLS[tool].measure(Bench(folder, installed.environment, limit))
    result["steps"].insert(0, installed.step._asdict())
    return result | {"mebibytes": installed.mebibytes}
