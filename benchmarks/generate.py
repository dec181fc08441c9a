"""Characters per second of generation: one text at a time, and the engine's batch of slots.

    python benchmarks/generate.py [--hidden 256] [--layers 2] [--seconds 5]

Needs torch, numpy, pyarrow, pydantic and the library. Weights are random: speed does not depend on
what was learnt. Texts end at a fixed length. Prints a table and, last, one line of JSON.
"""

import sys

sys.path[0] = sys.path[0].removesuffix("/benchmarks")  # tokenize.py there hides Python's own

import argparse
import json
import platform
import time
from collections.abc import Callable

import torch

from rnnlm.config import GenerationConfig, ModelConfig
from rnnlm.generation.engine import generate_texts
from rnnlm.models import LanguageModel, build
from rnnlm.tokenizer import CharacterTokenizer

CHARACTERS = "".join(chr(code) for code in range(32, 127))
LENGTH = 200


def one_at_a_time(model: LanguageModel, seconds: float) -> float:
    """Return characters per second of the peers' way at its best: batch 1, no repacked weights."""
    state, token = model.initial_state(1), torch.zeros(1, 1, dtype=torch.int64)
    done, began = 0, time.perf_counter()
    with torch.inference_mode(), torch.backends.mkldnn.flags(enabled=False):
        while time.perf_counter() - began < seconds:
            logits, state = model(token, state)
            token = torch.multinomial(torch.softmax(logits[0], -1), 1)
            done += 1
    return done / (time.perf_counter() - began)


def engine(model: LanguageModel, seconds: float, batch_size: int) -> float:
    """Return characters per second of the engine."""
    tokenizer = CharacterTokenizer(CHARACTERS)
    config = GenerationConfig(temperature=1.0, max_length=LENGTH, batch_size=batch_size)
    with torch.no_grad():
        model.get_submodule("output").bias[0] = -1e9  # no text ends by itself
    done, began = 0, time.perf_counter()
    for text in generate_texts(model, tokenizer, config, 0, 10**9):
        done += text.tokens
        if time.perf_counter() - began >= seconds:
            break
    return done / (time.perf_counter() - began)


def main() -> None:
    """Measure, print a table, print JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=5.0)
    options = parser.parse_args()
    config = ModelConfig(hidden_size=options.hidden, num_layers=options.layers)
    model = build(config, len(CHARACTERS) + 2).eval()
    rows: list[tuple[str, Callable[[], float]]] = [
        ("one at a time", lambda: one_at_a_time(model, options.seconds)),
        ("engine, 256 slots", lambda: engine(model, options.seconds, 256)),
        ("engine, 1,024 slots", lambda: engine(model, options.seconds, 1024)),
    ]
    figures: dict[str, float] = {}
    for threads in sorted({1, torch.get_num_threads()}):
        torch.set_num_threads(threads)
        for name, measure in rows:
            figures[f"{name}, {threads} thread{'s' * (threads > 1)}"] = measure()
    base = next(iter(figures.values()))
    print(f"LSTM {options.layers}×{options.hidden}, fp32, torch {torch.__version__}")
    print(f"{'':<32}{'characters/s':>14}{'ratio':>8}")
    for name, value in figures.items():
        print(f"{name:<32}{value:>14,.0f}{value / base:>8.1f}")
    print(json.dumps({"machine": platform.processor() or platform.machine(), **figures}))


if __name__ == "__main__":
    main()
