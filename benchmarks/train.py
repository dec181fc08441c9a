"""Training on characters: tokens per second, beside the usual ways to train an LSTM.

    python benchmarks/train.py [--threads 1,2] [--device cuda] [--quick] [--json FILE]

Two layers of 256 and of 512 units, embeddings as wide, 65 characters; 64 lanes, bptt 128. Every
side takes the same whole steps, from token ids to updated weights, each in a process of its own,
the sides in turn within each repeat:
- `nn.LSTM`: as PyTorch's examples/word_language_model trains, in 32-bit floats;
- `nn.LSTM autocast`: the same under autocast to bfloat16;
- `rnnlm`: this project's step; `rnnlm autocast`: the same under autocast to bfloat16. On a CPU
  without bfloat16 instructions the last only emulates them, and is left out. Threads wait without
  spinning, as the command line has them do; the other sides are slower so.

GFLOP/s count the work of the dense model, alike for all sides: a multiplication and an addition per
weight and token, forward once and backward twice. This project looks the first layer's input
product up in a table, so it does less work than is counted. The peaks are torch's own square
products, measured in the same run.

Needs torch, numpy, pydantic and this folder's parent only, so that it runs on a bare machine.
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
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from rnnlm.batching import Window
from rnnlm.config import ModelConfig, TrainingConfig
from rnnlm.kernels import keep_freed_memory, native_available
from rnnlm.models import NeuralLanguageModel, build, detach_state
from rnnlm.training.objective import objective
from rnnlm.training.optimizing import optimizer_of

SIZES = (256, 512)
VOCABULARY, LAYERS, LANES, BPTT = 65, 2, 64, 128
CLIP = 0.25
"""The example's --clip."""
SIDES = ("nn.LSTM", "nn.LSTM autocast", "rnnlm", "rnnlm autocast")
PEAKS = ("product fp32", "product bf16")
SQUARE = {"cpu": 2048, "cuda": 8192}
"""Rows of the square products."""
STEPS = {"cpu": 1, "cuda": 20}
"""Steps per measurement."""


class Model(nn.Module):
    """The weights of both sides, and the example's forward pass."""

    def __init__(self, size: int) -> None:
        """Draw the weights from torch's global generator."""
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, size)
        self.drop = nn.Dropout(0.0)
        self.lstm = nn.LSTM(size, size, LAYERS)
        self.output = nn.Linear(size, VOCABULARY)

    def forward(self, inputs: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Any]:
        """Return log-probabilities and the state; `inputs` is (time, batch)."""
        features, state = self.lstm(self.drop(self.embedding(inputs)), state)
        logits = self.output(self.drop(features)).view(-1, VOCABULARY)
        return functional.log_softmax(logits, dim=1), state


def example_step(size: int, device: str, autocast: bool) -> Callable[[], float]:
    """Return a step as PyTorch's examples/word_language_model/main.py takes it."""
    model, inputs, targets = model_and_window(size, device)
    state = tuple(torch.zeros(LAYERS, LANES, size, device=device) for _ in range(2))
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


def our_step(size: int, device: str, autocast: bool) -> Callable[[], float]:
    """Return this project's step: its model, objective and optimizer as training uses them."""
    if device == "cpu":
        keep_freed_memory()
    theirs, inputs, targets = model_and_window(size, device)
    model = build(
        ModelConfig(hidden_size=size, embedding_size=size, num_layers=LAYERS), VOCABULARY
    ).to(device)
    assert isinstance(model, NeuralLanguageModel)
    copy_weights(theirs, model)
    config = TrainingConfig(gradient_clip=CLIP, learning_rate=1e-3)
    optimizer, parameters = optimizer_of(model, config), [*model.parameters()]
    precision = torch.bfloat16 if autocast else torch.float32
    window = Window(
        inputs=inputs.t().contiguous(),
        targets=targets.view(BPTT, LANES).t().contiguous(),
        mask=torch.ones(LANES, BPTT, dtype=torch.bool, device=device),
        fresh=torch.zeros(LANES, dtype=torch.bool, device=device),
        documents=torch.zeros(LANES, dtype=torch.int64),
        tokens=LANES * BPTT,
    )
    state = model.initial_state(LANES)

    def step() -> float:
        nonlocal state
        optimizer.zero_grad(set_to_none=True)
        before = model.reset_state(detach_state(state), window.fresh)
        result = objective(model, window, before, config, window.tokens, precision)
        result.loss.backward()
        state = result.state
        nn.utils.clip_grad_norm_(parameters, config.gradient_clip)
        optimizer.step()
        return float(result.nll_nats.item()) / window.tokens

    return step


def copy_weights(theirs: Model, model: NeuralLanguageModel) -> None:
    """Give our model the example's weights, so that both compute the same loss."""
    weights = {"embedding.weight": theirs.embedding.weight, "U": theirs.output.weight}
    weights["b_2"] = theirs.output.bias
    for layer, (inputs, recurrent, bias, other_bias) in enumerate(theirs.lstm.all_weights):
        weights |= {f"layers.{layer}.W": inputs, f"layers.{layer}.U": recurrent}
        weights[f"layers.{layer}.b"] = bias + other_bias
    model.load_state_dict(weights)


def model_and_window(size: int, device: str) -> tuple[Model, Tensor, Tensor]:
    """Return the weights and the tokens that every side begins with."""
    torch.manual_seed(1)
    model = Model(size).to(device)
    tokens = torch.randint(VOCABULARY, (BPTT + 1, LANES), device=device)
    return model, tokens[:-1].contiguous(), tokens[1:].reshape(-1)


def square_product(device: str, dtype: torch.dtype) -> Callable[[], float]:
    """Return a large product, whose speed is the most that a step could reach."""
    rows = SQUARE[device]
    left, right = (torch.randn(rows, rows, device=device, dtype=dtype) for _ in range(2))
    product = torch.empty_like(left)

    def multiply() -> float:
        torch.mm(left, right, out=product)
        return float(product[0, 0].item())

    return multiply


def flops(size: int) -> float:
    """Return the counted floating-point operations of a step; see the top of this file."""
    weights = LAYERS * 2 * 4 * size * size + size * VOCABULARY
    return 3.0 * 2.0 * weights * LANES * BPTT


def work(side: str, size: int, device: str, threads: int, pipe: Connection) -> None:
    """Measure one side, in its own process, as often as the other end asks; answer seconds."""
    torch.set_num_threads(threads)
    if side in PEAKS:
        step = square_product(device, torch.float32 if side == PEAKS[0] else torch.bfloat16)
    else:
        make = our_step if side.startswith("rnnlm") else example_step
        step = make(size, device, side.endswith("autocast"))
    losses = [step()]
    while pipe.recv():
        began = time.perf_counter()
        losses += [step() for _ in range(STEPS[device])]
        pipe.send(((time.perf_counter() - began) / STEPS[device], losses[0]))


def measure(
    sides: list[str], size: int, device: str, threads: int, repeats: int
) -> dict[str, list[float]]:
    """Return the seconds per step of each side, the sides in turn."""
    spawn = multiprocessing.get_context("spawn")
    pipes, processes = {}, []
    for side in sides:
        pipes[side], theirs = spawn.Pipe()
        processes.append(spawn.Process(target=work, args=(side, size, device, threads, theirs)))
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
    assert max(losses) - min(losses) < 0.02, f"the sides compute different losses: {losses}"
    return seconds


def table(size: int, device: str, threads: int, repeats: int) -> list[dict[str, Any]]:
    """Measure one size with one number of threads and print its rows."""
    sides = [*SIDES, *PEAKS]
    if device == "cpu" and not torch.cpu._is_avx512_bf16_supported():
        sides.remove("rnnlm autocast")
    seconds = measure(sides, size, device, threads, repeats)
    median = {side: statistics.median(times) for side, times in seconds.items()}
    peaks = [2.0 * SQUARE[device] ** 3 / median[side] / 1e9 for side in PEAKS]
    rows = []
    for side in (side for side in sides if side in SIDES):
        speed = flops(size) / median[side] / 1e9
        rows.append(
            {
                "side": side,
                "size": size,
                "threads": threads,
                "tokens_per_second": LANES * BPTT / median[side],
                "to_fp32": median["nn.LSTM"] / median[side],
                "to_autocast": median["nn.LSTM autocast"] / median[side],
                "gflops": speed,
                "of_fp32_peak": speed / peaks[0],
                "of_bf16_peak": speed / peaks[1],
                "seconds": seconds[side],
            }
        )
        row = rows[-1]
        print(
            f"{LAYERS}×{size:<5} {threads:>7}  {side:<17} {row['tokens_per_second']:>10,.0f} "
            f"{row['to_fp32']:>7.2f}× {row['to_autocast']:>9.2f}× {speed:>9,.0f} "
            f"{row['of_fp32_peak']:>9.0%} {row['of_bf16_peak']:>9.0%}",
            flush=True,
        )
    print(f"{'':>16} peaks: {peaks[0]:,.0f} GFLOP/s fp32, {peaks[1]:,.0f} bf16\n", flush=True)
    rows.append({"size": size, "threads": threads, "peak_fp32": peaks[0], "peak_bf16": peaks[1]})
    return rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--threads", default="1,2", help="numbers of threads, with commas between")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--repeats", type=int, default=5, help="measurements; the median counts")
    parser.add_argument("--quick", action="store_true", help="one size, one thread, three repeats")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    options = parser.parse_args()
    threads = [int(number) for number in options.threads.split(",")]
    if options.device == "cuda":
        name, threads = torch.cuda.get_device_name(), [1]
    else:
        name = f"{os.cpu_count()} CPUs, {torch.backends.cpu.get_cpu_capability()}"
        name += "; native loops" if native_available() else "; no native loops"
    print(f"{name}; torch {torch.__version__}; {LANES} lanes, bptt {BPTT}\n")
    print(
        f"{'model':<7} {'threads':>7}  {'step':<17} {'tokens/s':>10} {'to fp32':>8} "
        f"{'to autoc.':>10} {'GFLOP/s':>9} {'fp32 peak':>9} {'bf16 peak':>9}"
    )
    rows = []
    repeats = 3 if options.quick else options.repeats
    for number in threads[: 1 if options.quick else None]:
        for size in SIZES[: 1 if options.quick else None]:
            rows += table(size, options.device, number, repeats)
    if options.json:
        figures = {"machine": name, "torch": torch.__version__, "rows": rows}
        options.json.write_text(json.dumps(figures, indent=2), "utf-8")


if __name__ == "__main__":
    main()
