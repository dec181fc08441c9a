"""Train every kind of model on tiny Shakespeare and print its size, test score and CPU time.

    python benchmarks/models.py [--set KEY=VALUE] [--threads 1] [--json FILE]

The models are those of `configs/shakespeare*.toml`, each with its own settings and training budget.
The score, in bits per character on the test split, is that of the checkpoint with the best
validation score. `--set` changes a setting of all models, for example
`--set training.budget='10 epochs'`. Seconds are CPU time, validation included. Each row also has
the command that trains the model.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[0] = sys.path[0].removesuffix("/benchmarks")  # tokenize.py there hides Python's own

import torch

from benchmarks.quality import prepare
from rnnlm import checkpoint, config, dataset
from rnnlm.evaluation.scoring import evaluate
from rnnlm.training.api import train


def measure(path: Path, settings: list[str], folder: Path) -> dict[str, Any]:
    """Train and score the model of one configuration file and return its row of the table."""
    experiment = config.load(path, settings)
    if not (folder / "tokens").is_dir():
        prepare(experiment, folder)
    uri = str(folder / "tokens")
    began = time.process_time()
    model = train(uri, experiment, folder / path.stem)
    seconds = time.process_time() - began
    loaded = checkpoint.load(Path(model.checkpoint))
    score = evaluate(loaded.model, dataset.load_split(uri, "test")).score
    return {
        "model": experiment.model.title + (", AWD" if path.stem.endswith("-awd") else ""),
        "parameters": model.parameters,
        "tokens": model.tokens,
        "bits_per_character": score.bits_per_character,
        "cpu_seconds": seconds,
        "command": f"rnnlm train {path.relative_to(ROOT)}",
    }


def main() -> None:
    """Train all models; print each model's row when it is done."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--set", action="append", default=[], dest="settings")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rows = []
    print("| model | parameters | bits per character | CPU seconds | command |")
    print("|---|---:|---:|---:|---|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for path in sorted((ROOT / "configs").glob("shakespeare*.toml")):
            row = measure(path, options.settings, Path(folder))
            rows.append(row)
            print(
                f"| {row['model']} | {row['parameters']:,} | {row['bits_per_character']:.3f} "
                f"| {row['cpu_seconds']:.0f} | `{row['command']}` |",
                flush=True,
            )
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2), "utf-8")


if __name__ == "__main__":
    main()
