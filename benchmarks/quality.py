"""Measure the quality that training reaches in a fixed CPU time, compared with PyTorch's example.

    python benchmarks/quality.py [--seconds 170] [--seeds 1,2,3] [--set KEY=VALUE] [--json FILE]

Both sides train a character LSTM with two layers of 256 units on one thread. They learn from the
first 90% of tiny Shakespeare and are scored on the last 10%, each character once:

- this project, through `rnnlm.training.train`, with `configs/shakespeare.toml` at that size;
- the recipe of PyTorch's word-language-model example: `nn.LSTM`, plain SGD at a learning rate of
  20, which is divided by 4 when validation does not improve, gradients clipped at 0.25, batches of
  20, 35 tokens of backpropagation through time (bptt), dropout 0.2.

Seconds are CPU time of all threads, including validation, saving and imports. The default budget of
170 seconds leaves ten for these, so that a run takes 180 in all.
"""

import argparse
import json
import math
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:] = [path for path in sys.path if Path(path).resolve() != ROOT / "benchmarks"]
sys.path.insert(0, str(ROOT))

import numpy as np
import torch
from torch import nn

from rnnlm import checkpoint, config, dataset
from rnnlm.corpora.files import locate
from rnnlm.corpora.ingestion import ingest
from rnnlm.evaluation.scoring import evaluate
from rnnlm.metrics import Score
from rnnlm.training.api import train

SIZE = ["model.architecture=lstm", "model.num_layers=2", "model.hidden_size=256"]
PEER_BATCH, PEER_BPTT, PEER_RATE, PEER_CLIP, PEER_DROPOUT = 20, 35, 20.0, 0.25, 0.2


def prepare(experiment: config.Experiment, folder: Path) -> str:
    """Ingest and tokenize an experiment's corpus; return the folder of the token shards."""
    files = locate(experiment.corpus, folder / "sources")
    corpus = ingest(files, experiment.corpus, experiment.splits, folder / "corpus")
    tokens = dataset.tokenize(corpus.uri, corpus.digest, experiment.tokenizer, folder / "tokens")
    return tokens.uri


def ours(uri: str, experiment: config.Experiment, out: Path) -> tuple[float, float, int]:
    """Train with this project; return its score, CPU-seconds and number of training tokens.

    The score is in nats per character on the last 10% of the text.
    """
    began = time.process_time()
    model = train(uri, experiment, out)
    seconds = time.process_time() - began
    loaded = checkpoint.load(Path(model.checkpoint))
    score: Score | None = None
    for split in ("validation", "test"):  # together the last 10%
        part = evaluate(loaded.model, dataset.load_split(uri, split)).score
        score = part if score is None else score + part
    assert score is not None
    return score.nll_nats_per_token, seconds, model.tokens


class Peer(nn.Module):
    """The model of PyTorch's example, with two layers of 256 units."""

    def __init__(self, vocab_size: int) -> None:
        super().__init__()
        self.drop = nn.Dropout(PEER_DROPOUT)
        self.encoder = nn.Embedding(vocab_size, 256)
        self.rnn = nn.LSTM(256, 256, 2, dropout=PEER_DROPOUT)
        self.decoder = nn.Linear(256, vocab_size)
        nn.init.uniform_(self.encoder.weight, -0.1, 0.1)
        nn.init.zeros_(self.decoder.bias)
        nn.init.uniform_(self.decoder.weight, -0.1, 0.1)

    def forward(self, inputs: torch.Tensor, state: Any) -> tuple[torch.Tensor, Any]:
        """Return log-probabilities and state."""
        output, state = self.rnn(self.drop(self.encoder(inputs)), state)
        return torch.log_softmax(self.decoder(self.drop(output)).flatten(0, 1), dim=1), state


def peer(uri: str, budget: float) -> tuple[float, float, int]:
    """Train as PyTorch's example does; return its score, CPU-seconds and number of training tokens.

    The score is in nats per character on the last 10% of the text.
    """
    torch.manual_seed(1)
    model = Peer(dataset.load_tokenizer(uri).vocab_size)
    text = {
        split: dataset.load_split(uri, split).tokens for split in ("train", "validation", "test")
    }
    held_out = np.concatenate([text["validation"], text["test"]])
    train_lanes, test_lanes = _lanes(text["train"], PEER_BATCH), _lanes(held_out, 10)
    rate, best, tokens, best_nats = PEER_RATE, math.inf, 0, math.inf
    began = time.process_time()
    while time.process_time() - began < budget:
        model.train()
        state = None
        for start in range(0, len(train_lanes) - 1, PEER_BPTT):
            end = min(start + PEER_BPTT, len(train_lanes) - 1)
            inputs, targets = train_lanes[start:end], train_lanes[start + 1 : end + 1]
            state = None if state is None else tuple(part.detach() for part in state)
            model.zero_grad()
            output, state = model(inputs, state)
            nn.functional.nll_loss(output, targets.flatten()).backward()
            nn.utils.clip_grad_norm_(model.parameters(), PEER_CLIP)
            with torch.no_grad():
                for parameter in model.parameters():
                    if parameter.grad is not None:
                        parameter.add_(parameter.grad, alpha=-rate)
            tokens += targets.numel()
            if time.process_time() - began > budget:
                break
        nats = _score(model, test_lanes)
        best_nats = min(best_nats, nats)
        if nats < best:
            best = nats
        else:
            rate /= 4.0
    return best_nats, time.process_time() - began, tokens


def _lanes(tokens: np.ndarray, lanes: int) -> torch.Tensor:
    steps = len(tokens) // lanes
    whole = torch.from_numpy(tokens[: steps * lanes].astype(np.int64))
    return whole.view(lanes, steps).t().contiguous()


@torch.no_grad()
def _score(model: Peer, lanes: torch.Tensor) -> float:
    model.eval()
    nats, count, state = 0.0, 0, None
    for start in range(0, len(lanes) - 1, 256):
        end = min(start + 256, len(lanes) - 1)
        output, state = model(lanes[start:end], state)
        targets = lanes[start + 1 : end + 1].flatten()
        nats += nn.functional.nll_loss(output, targets, reduction="sum").item()
        count += len(targets)
    return nats / count


def main() -> None:
    """Train this project's model with each seed, and the example's; print a row after each."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=170.0)
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--set", action="append", default=[], dest="settings")
    parser.add_argument("--no-peer", action="store_true")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows: list[dict[str, Any]] = []

    def add(name: str, seed: int, nats: float, seconds: float, tokens: int) -> None:
        rows.append(
            {"what": name, "seed": seed, "nll_nats": nats, "cpu_seconds": seconds, "tokens": tokens}
        )
        print(
            f"{name:<28} {seed:>4} {nats:>8.4f} {nats / math.log(2):>8.4f} {seconds:>8.1f} "
            f"{tokens / 1e6:>8.2f} {tokens / seconds / 1e3:>8.1f}",
            flush=True,
        )

    print(
        f"{'':<28} {'seed':>4} {'nats':>8} {'bits':>8} {'CPU s':>8} {'M tokens':>8} {'k/s':>8}",
        flush=True,
    )
    settings = [
        *SIZE,
        "training.validations=1",
        f"training.budget={arguments.seconds} s",
        *arguments.settings,
    ]
    with tempfile.TemporaryDirectory() as folder:
        for seed in map(int, arguments.seeds.split(",")):
            experiment = config.load(
                ROOT / "configs" / "shakespeare.toml", [*settings, f"training.seed={seed}"]
            )
            if not rows:
                uri = prepare(experiment, Path(folder))
            add("rnnlm", seed, *ours(uri, experiment, Path(folder) / f"seed-{seed}"))
        if not arguments.no_peer:
            add("PyTorch's example", 1, *peer(uri, arguments.seconds))
    mine = [row["nll_nats"] for row in rows if row["what"] == "rnnlm"]
    print(f"rnnlm, median of {len(mine)}: {median(mine):.4f} nats")
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()
