"""Measure tokens and characters per second of training, compared with usual ways to train an LSTM.

    python benchmarks/train.py [--threads 1,2] [--device cuda] [--only CASE,CASE] [--quick]
        [--json FILE]

The LSTMs have two layers of 256 or of 512 units, and embeddings of the same width. Their
vocabularies have 65 characters, or the sizes usual for word pieces and words. A step takes 64 lanes
(rows of a batch) of 128 tokens. The case `tuning` trains from a base, as `rnnlm train FILE`
configures it: 4,096 word pieces, 16 lanes of 64 tokens, dropout, Muon. These ways to train, called
sides, take the same complete steps, from token ids to updated weights. Each runs in a separate
process, and the sides run in turn within each repeat:
- `nn.LSTM`: as PyTorch's examples/word_language_model trains, in 32-bit floats;
- `nn.LSTM autocast`: the same under autocast to bfloat16;
- `rnnlm`: this project's step; `rnnlm autocast`: the same under autocast to bfloat16. On a CPU
  without bfloat16 instructions, `rnnlm autocast` would only emulate them and is left out. The
  threads of these two wait without spinning, as they do under the command `rnnlm`; the other sides
  would be slower that way.

GFLOP/s count the work of the dense model, the same for all sides: a multiplication and an addition
per weight and token, once for the forward pass and twice for the backward pass. This project looks
up the first layer's input product in a table where that is less work, so it does less than is
counted; Muon's products are not counted. The peaks are the rates of torch's products of square
matrices, measured in the same run.

The script needs only torch, numpy, pydantic and the code of this repository, so that it runs on a
bare machine. If RNNLM_CORPORA names a folder with a subfolder `books`, characters per token are
measured with word pieces learnt from some of these books.
"""

import os
import sys

sys.path[0] = sys.path[0].removesuffix("/benchmarks")  # tokenize.py there hides Python's own

import argparse
import json
import multiprocessing
import statistics
import time
from collections.abc import Callable
from contextlib import nullcontext
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from rnnlm.batching import Window
from rnnlm.config import ModelConfig, TrainingConfig
from rnnlm.kernels.memory import keep_freed_memory
from rnnlm.kernels.native import native_available
from rnnlm.models import NeuralLanguageModel, State, build
from rnnlm.training.backward import BackwardPass, cuda_graph
from rnnlm.training.optimizing import optimizer_of, step_of

LAYERS = 2


class Case(NamedTuple):
    """A model to train, and the size of a step.

    Attributes:
        size: Units of each layer.
        vocabulary: Number of distinct tokens.
        lanes: Rows of a batch.
        bptt: Tokens of each row.
        tunes: Whether to use the dropout and the optimizer of a training run from a base.
    """

    size: int
    vocabulary: int
    lanes: int = 64
    bptt: int = 128
    tunes: bool = False

    @property
    def tokens(self) -> int:
        """Tokens in a step."""
        return self.lanes * self.bptt

    @property
    def flops(self) -> float:
        """Counted floating-point operations of a step; see the top of this file."""
        weights = LAYERS * 2 * 4 * self.size * self.size + self.size * self.vocabulary
        return 3.0 * 2.0 * weights * self.tokens


CASES = {
    "256": Case(256, 65),
    "512": Case(512, 65),
    "1k": Case(512, 1000),
    "4k": Case(512, 4096),
    "10k": Case(512, 10_000),
    "33k": Case(512, 33_278),
    "tuning": Case(512, 4096, 16, 64, tunes=True),
}
LEARNT_FROM = 3_000_000
"""Number of characters of books that word pieces are learnt from."""
CLIP = 0.25
"""Largest gradient norm, the default of `--clip` in PyTorch's example."""
SIDES = ("nn.LSTM", "nn.LSTM autocast", "rnnlm", "rnnlm autocast")
PEAKS = ("product fp32", "product bf16")
SQUARE = {"cpu": 2048, "cuda": 8192}
"""Number of rows and columns of the matrices whose product gives the peak rate, by device."""
STEPS = {"cpu": 1, "cuda": 20}
"""Number of steps per measurement, by device."""


class Model(nn.Module):
    """The model of PyTorch's example; the `rnnlm` sides start from a copy of its weights."""

    def __init__(self, size: int, vocabulary: int) -> None:
        """Draw the weights from torch's global generator."""
        super().__init__()
        self.vocabulary = vocabulary
        self.embedding = nn.Embedding(vocabulary, size)
        self.drop = nn.Dropout(0.0)
        self.lstm = nn.LSTM(size, size, LAYERS)
        self.output = nn.Linear(size, vocabulary)

    def forward(self, inputs: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Any]:
        """Return log-probabilities and the new state; `inputs` has the shape (time, batch)."""
        features, state = self.lstm(self.drop(self.embedding(inputs)), state)
        logits = self.output(self.drop(features)).view(-1, self.vocabulary)
        return functional.log_softmax(logits, dim=1), state


def example_step(case: Case, device: str, autocast: bool) -> Callable[[], float]:
    """Return a function that takes a training step of PyTorch's examples/word_language_model."""
    model, inputs, targets = model_and_window(case, device)
    state = tuple(torch.zeros(LAYERS, case.lanes, case.size, device=device) for _ in range(2))
    criterion, rate = nn.NLLLoss(), 1e-3

    def step() -> float:
        nonlocal state
        model.zero_grad()
        state = tuple(part.detach() for part in state)
        with torch.autocast(device, torch.bfloat16) if autocast else nullcontext():
            output, state = model(inputs, state)
            loss = criterion(output, targets)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        for parameter in model.parameters():
            parameter.data.add_(parameter.grad, alpha=-rate)
        return float(loss.item())

    return step


def our_step(case: Case, device: str, autocast: bool, recorded: bool = True) -> Callable[[], float]:
    """Return a function that takes a step with this project's model, objective and optimizer.

    On a GPU the passes are recorded as a CUDA graph, unless `recorded` is false.
    """
    if device == "cpu":
        keep_freed_memory()
    theirs, inputs, targets = model_and_window(case, device)
    size = case.size
    shape = ModelConfig(
        hidden_size=size,
        embedding_size=size,
        num_layers=LAYERS,
        dropout=0.2 if case.tunes else 0.0,
    )
    model = build(shape, case.vocabulary).to(device).train()
    assert isinstance(model, NeuralLanguageModel)
    copy_weights(theirs, model)
    config = TrainingConfig(
        gradient_clip=CLIP, learning_rate=1e-3, optimizer="muon" if case.tunes else "adamw"
    )
    precision = torch.bfloat16 if autocast else torch.float32
    update = step_of(optimizer_of(model, config, precision))
    parameters = [*model.parameters()]
    window = Window(
        inputs=inputs.t().contiguous(),
        targets=targets.view(case.bptt, case.lanes).t().contiguous(),
        mask=torch.ones(case.lanes, case.bptt, dtype=torch.bool, device=device),
        fresh=torch.zeros(case.lanes, dtype=torch.bool, device=device),
        documents=torch.zeros(case.lanes, dtype=torch.int64),
        tokens=case.tokens,
    )
    record = cuda_graph if recorded and device != "cpu" else None
    backward = BackwardPass(model, config, precision, record)
    state: State | None = None

    def step() -> float:
        nonlocal state
        nll_nats, state = backward.run(window, state, window.tokens)
        nn.utils.clip_grad_norm_(parameters, config.gradient_clip)
        update()
        return float(nll_nats.item()) / window.tokens

    return step


def copy_weights(theirs: Model, model: NeuralLanguageModel) -> None:
    """Give this project's model the example's weights, so that both compute the same loss."""
    weights = {"embedding.weight": theirs.embedding.weight, "U": theirs.output.weight}
    weights["b_2"] = theirs.output.bias
    for layer, (inputs, recurrent, bias, other_bias) in enumerate(theirs.lstm.all_weights):
        weights |= {f"layers.{layer}.W": inputs, f"layers.{layer}.U": recurrent}
        weights[f"layers.{layer}.b"] = bias + other_bias
    model.load_state_dict(weights)


def model_and_window(case: Case, device: str) -> tuple[Model, Tensor, Tensor]:
    """Return a model with initial weights, inputs and targets, the same for every side."""
    torch.manual_seed(1)
    model = Model(case.size, case.vocabulary).to(device)
    tokens = torch.randint(case.vocabulary, (case.bptt + 1, case.lanes), device=device)
    return model, tokens[:-1].contiguous(), tokens[1:].reshape(-1)


def square_product(device: str, dtype: torch.dtype) -> Callable[[], float]:
    """Return a function that multiplies two large matrices; its rate is the peak for a step."""
    rows = SQUARE[device]
    left, right = (torch.randn(rows, rows, device=device, dtype=dtype) for _ in range(2))
    product = torch.empty_like(left)

    def multiply() -> float:
        torch.mm(left, right, out=product)
        return float(product[0, 0].item())

    return multiply


def characters_per_token(case: Case) -> float | None:
    """Return the characters per token of books, or None if there are no books."""
    if case.vocabulary == CASES["256"].vocabulary:
        return 1.0
    books = Path(os.environ.get("RNNLM_CORPORA", ""), "books")
    if not os.environ.get("RNNLM_CORPORA") or not books.is_dir():
        return None
    try:
        from rnnlm.config import TokenizerConfig
        from rnnlm.tokenizer import learn

        text = "".join(path.read_text("utf-8", "replace") for path in sorted(books.iterdir()))
        text = text[:LEARNT_FROM]
        pieces = learn(TokenizerConfig(kind="bpe", vocab_size=case.vocabulary), [text])
    except ImportError:
        return None
    return len(text) / len(pieces.encode(text))


def work(side: str, case: Case, device: str, threads: int, pipe: Connection) -> None:
    """Measure one side in its own process, once per request through the pipe.

    Each answer is the seconds per step and the loss of the first step.
    """
    torch.set_num_threads(threads)
    if side in PEAKS:
        step = square_product(device, torch.float32 if side == PEAKS[0] else torch.bfloat16)
    else:
        make = our_step if side.startswith("rnnlm") else example_step
        step = make(case, device, side.endswith("autocast"))
    losses = [step()]
    while pipe.recv():
        began = time.perf_counter()
        losses += [step() for _ in range(STEPS[device])]
        pipe.send(((time.perf_counter() - began) / STEPS[device], losses[0]))


def measure(
    sides: list[str], case: Case, device: str, threads: int, repeats: int
) -> dict[str, list[float]]:
    """Return the seconds per step of each side in each repeat; the sides run in turn.

    All sides must compute about the same loss in the first step.
    """
    spawn = multiprocessing.get_context("spawn")
    pipes, processes = {}, []
    for side in sides:
        pipes[side], theirs = spawn.Pipe()
        processes.append(spawn.Process(target=work, args=(side, case, device, threads, theirs)))
        if side.startswith("rnnlm"):
            os.environ["OMP_WAIT_POLICY"] = "passive"
        processes[-1].start()
        os.environ.pop("OMP_WAIT_POLICY", None)
        theirs.close()
    seconds: dict[str, list[float]] = {side: [] for side in sides}
    first_losses = {}
    for repeat in range(repeats + 1):
        for side, pipe in pipes.items():
            pipe.send(True)
            took, first_losses[side] = pipe.recv()
            if repeat:
                seconds[side].append(took)
    for pipe, process in zip(pipes.values(), processes, strict=True):
        pipe.send(False)
        process.join()
    losses = [first_losses[side] for side in sides if side in SIDES]
    most = 0.2 if case.tunes else 0.02  # where features are dropped, the first losses differ
    assert max(losses) - min(losses) < most, f"the sides compute different losses: {losses}"
    return seconds


def table(name: str, device: str, threads: int, repeats: int) -> list[dict[str, Any]]:
    """Measure one case with one number of threads and print its rows."""
    case = CASES[name]
    per_token = characters_per_token(case)
    sides = [*SIDES, *PEAKS]
    if device == "cpu" and not torch.cpu._is_avx512_bf16_supported():
        sides.remove("rnnlm autocast")
    seconds = measure(sides, case, device, threads, repeats)
    median = {side: statistics.median(times) for side, times in seconds.items()}
    peaks = [2.0 * SQUARE[device] ** 3 / median[side] / 1e9 for side in PEAKS]
    rows = []
    for side in (side for side in sides if side in SIDES):
        speed = case.flops / median[side] / 1e9
        rows.append(
            {
                "side": side,
                "case": name,
                "threads": threads,
                "tokens_per_second": case.tokens / median[side],
                "characters_per_second": per_token and per_token * case.tokens / median[side],
                "to_fp32": median["nn.LSTM"] / median[side],
                "to_autocast": median["nn.LSTM autocast"] / median[side],
                "gflops": speed,
                "of_fp32_peak": speed / peaks[0],
                "of_bf16_peak": speed / peaks[1],
                "seconds": seconds[side],
            }
        )
        row = rows[-1]
        characters = row["characters_per_second"]
        print(
            f"{name:<7} {threads:>1}  {side:<16} {row['tokens_per_second']:>9,.0f} "
            f"{f'{characters:,.0f}' if characters else '–':>9} {row['to_fp32']:>6.2f}× "
            f"{row['to_autocast']:>6.2f}× {speed:>8,.0f} {row['of_bf16_peak']:>5.0%}",
            flush=True,
        )
    print(f"{'':>16} peaks: {peaks[0]:,.0f} GFLOP/s fp32, {peaks[1]:,.0f} bf16\n", flush=True)
    rows.append({"case": name, "threads": threads, "peak_fp32": peaks[0], "peak_bf16": peaks[1]})
    return rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--threads", default="1,2", help="numbers of threads, separated by commas")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--repeats", type=int, default=5, help="measurements; the median counts")
    parser.add_argument("--only", help=f"cases, separated by commas: {', '.join(CASES)}")
    parser.add_argument("--quick", action="store_true", help="one case, one thread, three repeats")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args()
    threads = [int(number) for number in options.threads.split(",")]
    if options.device == "cuda":
        name, threads = torch.cuda.get_device_name(), [1]
    else:
        name = f"{os.cpu_count()} CPUs, {torch.backends.cpu.get_cpu_capability()}"
        name += "; native loops" if native_available() else "; no native loops"
    print(f"{name}; torch {torch.__version__}; {LAYERS} layers; threads in the second column\n")
    print(
        f"{'case':<7} {'t':>1}  {'step':<16} {'tokens/s':>9} {'chars/s':>9} {'to fp32':>7} "
        f"{'to bf16':>7} {'GFLOP/s':>8} {'peak':>5}"
    )
    rows = []
    repeats = 3 if options.quick else options.repeats
    cases = options.only.split(",") if options.only else [*CASES]
    for number in threads[: 1 if options.quick else None]:
        for case in cases[: 1 if options.quick else None]:
            rows += table(case, options.device, number, repeats)
    if options.json:
        figures = {"machine": name, "torch": torch.__version__, "rows": rows}
        options.json.write_text(json.dumps(figures, indent=2), "utf-8")


if __name__ == "__main__":
    main()
