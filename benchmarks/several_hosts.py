"""Measure a training step of two hosts that are connected at a given rate.

    python benchmarks/several_hosts.py [--rate 1gbit] [--steps 30]

The hosts are network namespaces of this machine with one core each, connected by virtual Ethernet
whose rate `tc` limits; this needs root, and the commands ip and tc. Each side trains an LSTM 2×512
with 4,096 tokens on its share of 32 lanes of 64 tokens. The table shows medians: the time of a
step, and the time in it after the backward pass, until all gradients are summed. `at the end` is
the usual way without overlap: all gradients in one piece.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:] = [path for path in sys.path if Path(path).resolve() != ROOT / "benchmarks"]
sys.path.insert(0, str(ROOT))

import torch

from rnnlm.config import ModelConfig
from rnnlm.kernels.cross_entropy import linear_cross_entropy
from rnnlm.models import build
from rnnlm.training import gradients
from rnnlm.training.group import join
from tests.flows.hosts import hosts

VOCABULARY, LANES, STEPS_OF_TIME = 4096, 16, 64
WAYS = {
    "at the end, fp32": ("fp32", 10**12),
    "in buckets, fp32": ("fp32", gradients.BUCKET_BYTES),
    "at the end, bf16": ("bf16", 10**12),
    "in buckets, bf16": ("bf16", gradients.BUCKET_BYTES),
}


def work(steps: int) -> None:
    """Train as one of the two hosts; the first prints a row for each way."""
    torch.set_num_threads(1)
    group = join("cpu")
    generator = torch.Generator().manual_seed(group.rank)
    for name, (precision, size) in WAYS.items():
        gradients.BUCKET_BYTES = size
        model = build(
            ModelConfig(architecture="lstm", num_layers=2, hidden_size=512, embedding_size=256),
            VOCABULARY,
        )
        summed = gradients.GradientSum(model.parameters(), group, precision)
        whole, waiting = [], []
        for _ in range(steps):
            shape = (LANES, STEPS_OF_TIME)
            tokens = torch.randint(VOCABULARY, shape, generator=generator)
            group.agree(0.0)  # both start at the same time
            began = time.perf_counter()
            model.zero_grad(set_to_none=True)
            features, _ = model.features(tokens, model.initial_state(LANES))
            targets, mask = tokens.flatten(), torch.ones(tokens.numel(), dtype=torch.bool)
            loss, nats = linear_cross_entropy(
                features.flatten(0, 1), *model.output_layer, targets, mask
            )
            (loss / tokens.numel()).backward()
            sent = time.perf_counter()
            summed.finish(nats)
            ended = time.perf_counter()
            whole.append(ended - began)
            waiting.append(ended - sent)
        if group.leads:
            middle = [1000 * statistics.median(times) for times in (whole, waiting)]
            print(f"| {name} | {middle[0]:,.0f} | {middle[1]:,.0f} |", flush=True)


def main() -> None:
    """Start the two hosts, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--rate", default="1gbit", help="as tc reads it")
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(options.steps)
        return
    with tempfile.TemporaryDirectory() as folder:
        shared = Path(folder, "shared")
        shared.mkdir()
        with hosts(shared, Path(folder, "hosts"), 2) as pair:
            for host in pair:
                limit = f"root tbf rate {options.rate} burst 256k latency 100ms".split()
                device = ["-n", host.name, "qdisc", "add", "dev", host.interface]
                subprocess.run(["tc", *device, *limit], check=True)  # noqa: S607
            print(
                f"| gradients sent at {options.rate} | ms per step | ms waiting |\n|---|---:|---:|"
            )
            sys.stdout.flush()
            started = [
                host.run(
                    *(sys.executable, __file__, "--work", "--steps", str(options.steps)),
                    RANK=str(rank),
                    WORLD_SIZE="2",
                    LOCAL_RANK="0",
                    MASTER_ADDR=pair[0].address,
                    MASTER_PORT="29500",
                    TORCHELASTIC_RUN_ID="benchmark",
                    GLOO_SOCKET_IFNAME=host.interface,
                )
                for rank, host in enumerate(pair)
            ]
            print(started[0].communicate()[0], end="")


if __name__ == "__main__":
    main()
