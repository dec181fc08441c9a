"""Check and measure everything that differs on a GPU, in one call of at most eight minutes.

    python benchmarks/gpu.py [--device cuda] [--quick] [--only PART,PART] [--out FOLDER]

The parts, in this order:
- `same results`: loss and gradients of each architecture on the CPU and on the GPU, in 32-bit
  floats without TF32, as the largest difference relative to the largest gradient.
- `same texts`: texts of 8 bits drawn by the GPU's kernels and by the CPU must be equal; the
  beginnings of 200,000 texts drawn in 16 bits with another seed must have the same distribution as
  on the CPU (a χ² test of homogeneity, which fails for p < 0.001).
- `sampling`: characters per second of an LSTM of 2×512 units whose texts end after 100 tokens on
  average, in 8,192 to 32,768 slots, by engine; with shards of 10,000 texts, one after the other or
  as one range; and with 4,096 word pieces.
- `training`: tokens per second of 2×512 with 64, 128 and 512 lanes of 128 tokens, beside `nn.LSTM`
  in 32 bits (where cuDNN uses TF32, torch's default) and under autocast; see benchmarks/train.py.
  Our passes are replayed from a CUDA graph, except in one row.
- `AWD-LSTM`: steps per second of the model in configs/wikitext-2-awd.toml, with its regularisers,
  and its loss on one batch of random tokens, which must fall.
- `traces`: profiler traces of sampling and training, written to `--out` for chrome://tracing, and
  the kernels that take the most time.

It needs torch with CUDA and its dependencies (among them triton), numpy, pydantic (with
annotated-types, pydantic-core, typing-extensions and typing-inspection) and this repository. A part
that fails is reported and the next one begins. The table is printed as Markdown and written to
`gpu.json` with the names of the device and of the versions.

Afterwards, run `pytest -m gpu`.
"""

import os
import sys

sys.path[0] = sys.path[0].removesuffix("/benchmarks")  # tokenize.py there hides Python's own

import argparse
import json
import math
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from benchmarks.generate import Letters
from benchmarks.train import Case, example_step, our_step
from rnnlm.batching import Window
from rnnlm.config import GenerationConfig, ModelConfig, TrainingConfig
from rnnlm.engine.running import Engine, choose_engine, open_slots, run
from rnnlm.kernels.native import native_available
from rnnlm.kernels.slots import EndedTexts, in_order
from rnnlm.models import LanguageModel, NeuralLanguageModel, build
from rnnlm.training.objective import objective
from rnnlm.training.optimizing import optimizer_of

SECONDS = 450.0
"""No part begins after this time; the last may take half a minute."""
GOALS = {
    "2×512, 8,192 slots, best engine": 50e6,
    "2×512, 512 lanes, rnnlm autocast": 5e6,
}
ARCHITECTURES = ("simple", "gru", "lstm", "mogrifier", "mingru")
MEAN_LENGTH, LONGEST = 100, 400


class Row(NamedTuple):
    """A line of the table: what was measured, the number with its unit, and a remark."""

    part: str
    what: str
    value: float
    unit: str
    note: str = ""


class Scale(NamedTuple):
    """Sizes of the measurements: the real ones, or small ones that a CPU can manage."""

    size: int
    slots: tuple[int, ...]
    shard: int
    seconds: float
    lanes: tuple[int, ...]
    bptt: int
    texts: int
    awd: dict[str, int]


REAL = Scale(
    512, (8192, 16384, 32768), 10_000, 5.0, (64, 128, 512), 128, 200_000, {"vocab": 33_278}
)
QUICK = Scale(
    64, (64,), 200, 0.3, (16,), 16, 2000, {"vocab": 300, "size": 48, "lanes": 4, "bptt": 10}
)


def model_of(vocabulary: int, device: str, mean_length: float = math.inf, **shape: Any) -> Any:
    """Return an untrained model whose texts end after `mean_length` tokens on average."""
    torch.manual_seed(1)
    size = shape.get("hidden_size", 512)
    config = {"architecture": "lstm", "num_layers": 2, "embedding_size": size, **shape}
    model = build(ModelConfig(**config), vocabulary).eval()
    with torch.no_grad():
        model.b_2[0] = math.log(vocabulary / mean_length) if mean_length < math.inf else -50.0
    return model.to(device)


def same_results(device: str, scale: Scale) -> Iterator[Row]:
    """Compare losses and gradients of the CPU and the device."""
    for architecture in ARCHITECTURES:
        found = [
            _gradients(architecture, scale.size, where) for where in (torch.device("cpu"), device)
        ]
        (loss, ours), (other, theirs) = found
        largest = max(float(gradient.abs().max()) for gradient in ours)
        apart = max(float((a - b).abs().max()) for a, b in zip(ours, theirs, strict=True))
        ok = abs(loss - other) < 1e-4 * loss and apart < 1e-3 * largest
        note = f"loss {loss:.6f} and {other:.6f}: {'equal' if ok else 'DIFFERENT'}"
        yield Row("same results", architecture, apart / largest, "of the largest gradient", note)


def _gradients(architecture: str, size: int, device: Any) -> tuple[float, list[torch.Tensor]]:
    model = model_of(97, device, architecture=architecture, hidden_size=size).train()
    tokens = torch.randint(97, (9, 33), generator=torch.Generator().manual_seed(2)).to(device)
    window = _window(tokens)
    state = model.initial_state(len(tokens))
    result = objective(model, window, state, TrainingConfig(), window.tokens, torch.float32)
    result.loss.backward()
    gradients = [p.grad.cpu() for p in model.parameters() if p.grad is not None]
    return float(result.nll_nats) / window.tokens, gradients


def _window(tokens: torch.Tensor) -> Window:
    lanes = len(tokens)
    return Window(
        inputs=tokens[:, :-1].contiguous(),
        targets=tokens[:, 1:].contiguous(),
        mask=torch.ones_like(tokens[:, 1:], dtype=torch.bool),
        fresh=torch.zeros(lanes, dtype=torch.bool, device=tokens.device),
        documents=torch.zeros(lanes, dtype=torch.int64),
        tokens=lanes * (tokens.shape[1] - 1),
    )


def same_texts(device: str, scale: Scale) -> Iterator[Row]:
    """Compare texts drawn on the CPU and on the device."""
    plain = model_of(97, "cpu", 10, hidden_size=64)
    moved = model_of(97, device, 10, hidden_size=64)
    cpu = Engine("native" if native_available() else "torch", "int8")
    gpu = choose_engine(moved, "int8")
    rules = {"top_p": 0.9, "repetition_penalty": 1.2, "min_length": 3}
    ours, theirs = (
        _drawn(model, how, 2000, max_length=40, **rules)
        for model, how in ((plain, cpu), (moved, gpu))
    )
    same = [a == b for a, b in zip(_texts(ours), _texts(theirs), strict=True)]
    yield Row("same texts", f"{gpu.kind}, {gpu.precision}", float(np.mean(same)), "equal")
    counts = []
    for model, how, seed in ((plain, cpu, 1), (moved, choose_engine(moved, "bf16"), 2)):
        texts = _drawn(model, how, scale.texts, max_length=3, seed=seed)
        pairs = [text[0] * 97 + (text[1] if len(text) > 1 else 0) for text in _texts(texts)]
        counts.append(np.bincount(pairs, minlength=97 * 97))
    p = _homogeneity(*counts)
    note = "the same distribution" if p > 1e-3 else "DIFFERENT"
    yield Row("same texts", f"first two tokens of {scale.texts:,}, bf16", p, "p of χ²", note)


def _drawn(model: LanguageModel, how: Engine, count: int, **settings: Any) -> EndedTexts:
    config = GenerationConfig(**({"temperature": 1.0} | settings))
    return in_order(run(open_slots(how, model, Letters(), config), 0, count))  # type: ignore[arg-type]


def _texts(ended: EndedTexts) -> list[list[int]]:
    parts = np.split(ended.tokens, np.cumsum(ended.lengths)[:-1])
    return [part.tolist() for part in parts]


def _homogeneity(ours: Any, theirs: Any) -> float:
    """Return p of Pearson's χ² test that two lists of counts have the same distribution.

    Cells in which fewer than ten are expected are put together.
    """
    both = ours + theirs
    many = both >= 20
    table = np.array([[*part[many], part[~many].sum()] for part in (ours, theirs)], float)
    table = table[:, table.sum(axis=0) > 0]
    expected = table.sum(axis=0) * table.sum(axis=1, keepdims=True) / table.sum()
    chi = torch.tensor(((table - expected) ** 2 / expected).sum() / 2)
    return float(torch.special.gammaincc(torch.tensor((table.shape[1] - 1) / 2), chi))


def sampling(device: str, scale: Scale) -> Iterator[Row]:
    """Measure characters per second, by engine, slots, shards and vocabulary."""
    model = model_of(97, device, MEAN_LENGTH, hidden_size=scale.size)
    best: tuple[float, Engine] = 0.0, Engine("torch", "bf16")
    engines = [Engine("torch", "bf16"), *_fused(model, "bf16"), *_fused(model, "int8")]
    for slots in scale.slots:
        for how in engines:
            rate = _endless(model, how, slots, scale.seconds)
            best = max(best, (rate, how), key=lambda pair: pair[0])
            name = f"2×{scale.size}, {slots:,} slots, {how.kind} {how.precision}"
            yield Row("sampling", name, rate, "characters/s")
        if slots == scale.slots[0]:
            name = f"2×{scale.size}, {slots:,} slots, best engine"
            yield Row("sampling", name, best[0], "characters/s", str(best[1].kind))
    config = GenerationConfig(temperature=1.0, max_length=LONGEST, batch_size=scale.slots[0])
    shards = [(first * scale.shard, scale.shard) for first in range(5)]
    for name, ranges in (("one after the other", shards), ("one range", [(0, 5 * scale.shard)])):
        slots = open_slots(best[1], model, Letters(), config)  # type: ignore[arg-type]
        list(run(slots, 0, 10))
        done, began = 0, time.perf_counter()
        for first, count in ranges:
            done += sum(int(ended.lengths.sum()) for ended in run(slots, first, count))
        rate = done / (time.perf_counter() - began)
        yield Row("sampling", f"5 shards of {scale.shard:,} texts, {name}", rate, "characters/s")
    pieces = model_of(4096, device, MEAN_LENGTH, hidden_size=scale.size)
    rate = _endless(pieces, best[1], scale.slots[0], scale.seconds)
    yield Row("sampling", "4,096 word pieces", rate, "tokens/s", best[1].precision)


def _fused(model: LanguageModel, precision: Any) -> list[Engine]:
    how = choose_engine(model, precision)
    return [how] if how.kind == "fused" else []


def _endless(model: LanguageModel, how: Engine, slots: int, seconds: float) -> float:
    """Return tokens per second, once all slots are in the middle of different texts."""
    config = GenerationConfig(temperature=1.0, max_length=LONGEST, batch_size=slots)
    opened = open_slots(how, model, Letters(), config)  # type: ignore[arg-type]
    opened.fill(0, 10**9)
    opened.run(2 * MEAN_LENGTH)
    done, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        done += int(opened.run(64).lengths.sum())
    return done / (time.perf_counter() - began)


def training(device: str, scale: Scale) -> Iterator[Row]:
    """Measure tokens per second of training steps."""
    sides: dict[str, tuple[Callable[..., Callable[[], float]], tuple[bool, ...]]] = {
        "nn.LSTM": (example_step, (False,)),
        "nn.LSTM autocast": (example_step, (True,)),
        "rnnlm": (our_step, (False,)),
        "rnnlm autocast, not recorded": (our_step, (True, False)),
        "rnnlm autocast": (our_step, (True,)),
    }
    for lanes in scale.lanes:
        case = Case(scale.size, 97, lanes, scale.bptt)
        rates = {
            side: case.tokens * _rate(make(case, device, *how), scale.seconds / 2)
            for side, (make, how) in sides.items()
        }
        for side, rate in rates.items():
            times = rate / rates["nn.LSTM autocast"]
            name = f"2×{scale.size}, {lanes} lanes, {side}"
            yield Row("training", name, rate, "tokens/s", f"{times:.2f}× nn.LSTM autocast")


def _rate(step: Callable[[], float], seconds: float) -> float:
    """Return steps per second; each step waits for its loss."""
    for _ in range(5):  # the fourth records a CUDA graph
        step()
    steps, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        step()
        steps += 1
    return steps / (time.perf_counter() - began)


def awd(device: str, scale: Scale) -> Iterator[Row]:
    """Measure steps of AWD-LSTM, with the regularisers of its recipe, on random tokens."""
    sizes = {"vocab": 33_278, "size": 1150, "lanes": 80, "bptt": 70} | scale.awd
    small = min(400, sizes["size"])
    shares = {"input": 0.65, "layer": 0.2, "output": 0.4, "embedding": 0.1, "weight": 0.5}
    model = build(
        ModelConfig(
            embedding_size=small,
            hidden_size=sizes["size"],
            last_size=small,
            num_layers=3,
            tie_weights=True,
            **{f"{name}_dropout": share for name, share in shares.items()},
        ),
        sizes["vocab"],
    ).to(device)
    assert isinstance(model, NeuralLanguageModel)
    config = TrainingConfig(
        optimizer="sgd", learning_rate=1.0, gradient_clip=0.25, activation_penalty=2.0
    )
    optimizer = optimizer_of(model.train(), config, torch.bfloat16)
    window = _window(torch.randint(sizes["vocab"], (sizes["lanes"], sizes["bptt"] + 1)).to(device))
    losses = []

    def step() -> float:
        optimizer.zero_grad(set_to_none=True)
        state = model.initial_state(sizes["lanes"])
        result = objective(model, window, state, config, window.tokens, torch.bfloat16)
        result.loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), config.gradient_clip)
        optimizer.step()
        losses.append(float(result.nll_nats) / window.tokens)
        return losses[-1]

    rate = _rate(step, 4 * scale.seconds)
    note = f"loss {losses[0]:.2f} at first, {losses[-1]:.2f} after {len(losses)} steps"
    yield Row("AWD-LSTM", "autocast", rate, "steps/s", note)


def traces(device: str, scale: Scale, out: Path) -> Iterator[Row]:
    """Write profiler traces; return the kernels that take the most time."""
    model = model_of(97, device, MEAN_LENGTH, hidden_size=scale.size)
    config = GenerationConfig(temperature=1.0, max_length=LONGEST, batch_size=scale.slots[0])
    slots = open_slots(choose_engine(model, "bf16"), model, Letters(), config)  # type: ignore[arg-type]
    slots.fill(0, 10**9)
    step = our_step(Case(scale.size, 97, scale.lanes[0], scale.bptt), device, True)
    for name, work in (("sampling", lambda: slots.run(32)), ("training", step)):
        for _ in range(5):
            work()
        with torch.profiler.profile() as profile:
            work()
        profile.export_chrome_trace(str(out / f"gpu-{name}.json.gz"))
        kind = "device_time_total" if device != "cpu" else "cpu_time_total"
        events = sorted(profile.key_averages(), key=lambda event: -getattr(event, kind))
        for event in events[:5]:
            each = getattr(event, kind) / event.count
            yield Row("traces", f"{name}: {event.key[:40]}", each, "µs", f"{event.count} times")


def shown(rows: list[Row]) -> str:
    """Return the rows as a table in Markdown, with goals and whether they are reached."""
    lines = ["| part | what | value | remark |", "|---|---|---|---|"]
    for row in rows:
        value = f"{row.value:,.0f}" if row.value >= 1000 else f"{row.value:.4g}"
        goal = GOALS.get(row.what)
        reached = "" if goal is None or row.value >= goal else "not "
        note = row.note if goal is None else f"{row.note}; goal {goal:,.0f} {reached}reached"
        lines.append(f"| {row.part} | {row.what} | {value} {row.unit} | {note} |")
    return "\n".join(lines)


def main() -> None:
    """Run the parts, and print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda", help="cuda, or cpu to try the script")
    parser.add_argument("--quick", action="store_true", help="small sizes, to try the script")
    parser.add_argument("--only", help="parts, separated by commas")
    parser.add_argument("--out", type=Path, default=Path(), help="folder of the files")
    chosen = parser.parse_args()
    device, scale = chosen.device, QUICK if chosen.quick else REAL
    if device != "cpu" and not torch.cuda.is_available():
        parser.error("torch sees no GPU here; to try the script: --device cpu --quick")
    torch.backends.cudnn.allow_tf32 = False
    chosen.out.mkdir(parents=True, exist_ok=True)
    parts: dict[str, Callable[[], Iterator[Row]]] = {
        "same results": lambda: same_results(device, scale),
        "same texts": lambda: same_texts(device, scale),
        "sampling": lambda: sampling(device, scale),
        "training": lambda: training(device, scale),
        "AWD-LSTM": lambda: awd(device, scale),
        "traces": lambda: traces(device, scale, chosen.out),
    }
    wanted = chosen.only.split(",") if chosen.only else [*parts]
    if unknown := sorted({*wanted} - {*parts}):
        parser.error(f"no part is called {unknown[0]!r}; expected one of {', '.join(parts)}")
    name = torch.cuda.get_device_name() if device != "cpu" else "cpu"
    about = {"device": name, "torch": torch.__version__, "cuda": torch.version.cuda}
    began, rows = time.perf_counter(), []
    for part in wanted:
        if time.perf_counter() - began > SECONDS:
            rows.append(Row(part, "left out", 0.0, "", f"after {SECONDS:.0f} s"))
            continue
        torch.backends.cudnn.allow_tf32 = part in ("training", "AWD-LSTM")
        try:
            with torch.backends.mkldnn.flags(enabled=False):  # it refuses small LSTMs on a CPU
                for row in parts[part]():
                    rows.append(row)
                    took = time.perf_counter() - began
                    print(f"{took:4.0f} s  {row.part}: {row.what}", flush=True)
        except Exception as error:  # noqa: BLE001 - the other parts are worth the time
            traceback.print_exc()
            rows.append(Row(part, "FAILED", 0.0, "", f"{type(error).__name__}: {error}"[:200]))
    failed = any("DIFFERENT" in row.note or row.what == "FAILED" for row in rows)
    print(f"\n{name}, torch {torch.__version__}\n\n{shown(rows)}")
    values = {"about": about, "rows": [row._asdict() for row in rows]}
    (chosen.out / "gpu.json").write_text(json.dumps(values, ensure_ascii=False, indent=1))
    os._exit(int(failed))  # threads of the profiler may linger


if __name__ == "__main__":
    main()
