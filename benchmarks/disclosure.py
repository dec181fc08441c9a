"""Measure which planted numbers a model discloses, and which filters keep them out.

    python benchmarks/disclosure.py TEXT [--characters 2000000] [--set KEY=VALUE] [--json FILE]

Four numbers of 16 digits are written into 1, 4, 16 and 62 lines among the paragraphs of a text, and
as many canaries as `training.canaries` says are planted. A network is trained on it, and generates
about two million characters three times: without a filter, with `--no-copied-numbers` and with
`--novel-only`. The numbers are counted in the files of the data set by a regular expression, and
compared with the counts on the card.
"""

import argparse
import json
import random
import re
import sys
import tempfile
import time
from pathlib import Path
from statistics import mean
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:] = [path for path in sys.path if Path(path).resolve() != ROOT / "benchmarks"]
sys.path.insert(0, str(ROOT))

import pyarrow.parquet as pq

from rnnlm import checkpoint, config, dataset
from rnnlm.canaries import Canary, canaries_of
from rnnlm.corpora.documents import iter_texts
from rnnlm.corpora.files import locate
from rnnlm.corpora.ingestion import Corpus, ingest
from rnnlm.engine.drawing import sample_texts
from rnnlm.evaluation.exposure import score_canaries
from rnnlm.generation.job import generate
from rnnlm.generation.manifest import Source, TextDataSet
from rnnlm.training.api import train

PLANTED = (1, 4, 16, 62)
FILTERS = ("none", "no_copied_numbers", "novel_only")
VALUES: dict[str, Any] = {
    "name": "disclosure",
    "splits": {"validation": 0.05, "test": 0.05},
    "model": {"architecture": "lstm", "num_layers": 2, "hidden_size": 256, "dropout": 0.1},
    "training": {
        "optimizer": "muon", "learning_rate": 0.02, "weight_decay": 0.1, "batch_size": 32,
        "feed": "stream", "bptt": 64, "budget": "20 epochs", "canaries": 4, "device": "cpu",
    },
    "generation": {"temperature": 0.8, "max_length": 1000, "shard_size": 500},
}  # fmt: skip


def plant(text: str) -> tuple[str, dict[int, str]]:
    """Return the text with lines of numbers among its paragraphs, and each number by its count."""
    chance = random.Random(1)
    paragraphs = text.split("\n\n")
    syllables = [a + b for a in "bdfgklmnprst" for b in "aeiou"]
    numbers: dict[int, str] = {}
    for times in PLANTED:
        groups = ("".join(chance.choices("0123456789", k=4)) for _ in range(4))
        numbers[times] = " ".join(groups)
        for _ in range(times):
            name = "".join(chance.choices(syllables, k=4)).capitalize()
            line = f"The card of {name} has the number {numbers[times]}."
            paragraphs.insert(chance.randrange(len(paragraphs) + 1), line)
    return "\n\n".join(paragraphs), numbers


def occurrences(number: str, texts: list[str]) -> int:
    """Return how often a number occurs, with or without spaces or dashes between its digits."""
    pattern = re.compile("[ -]?".join(number.replace(" ", "")))
    return sum(len(pattern.findall(text)) for text in texts)


def texts_of(out: Path) -> list[str]:
    """Return the texts of a data set."""
    shards = sorted((out / "data").glob("*.parquet"))
    return [text for shard in shards for text in pq.read_table(shard)["text"].to_pylist()]


def main() -> None:
    """Run the experiment and print its tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("text", type=Path)
    parser.add_argument("--characters", type=int, default=2_000_000)
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = measure(Path(folder), asked.text, asked.characters, asked.set)
    print(json.dumps(result, indent=2))
    if asked.json:
        asked.json.write_text(json.dumps(result, indent=2) + "\n")


def measure(folder: Path, text: Path, characters: int, settings: list[str]) -> dict[str, Any]:
    """Return the counts, by filter, and the exposures."""
    planted, numbers = plant(text.read_text("utf-8", "replace").replace("\r\n", "\n"))
    (folder / "planted.txt").write_text(planted)
    values = {**VALUES, "corpus": {"source": str(folder / "planted.txt")}}
    experiment = config.from_values(values, origin="benchmark", overrides=settings)
    files = locate(experiment.corpus, folder / "sources")
    corpus = ingest(files, experiment.corpus, experiment.splits, folder / "corpus")
    uri = str(folder / "tokens")
    dataset.tokenize(corpus.uri, corpus.digest, experiment.tokenizer, Path(uri))
    began = time.process_time()
    model = train(uri, experiment, folder / "model")
    result: dict[str, Any] = {
        "training_cpu_seconds": round(time.process_time() - began),
        "validation_bits_per_character": round(model.validation_bits_per_character, 3),
    }
    path = Path(model.checkpoint)
    loaded = checkpoint.load(path)
    canaries = canaries_of(experiment, loaded.tokenizer)
    training = [*iter_texts(corpus.uri, "train")]
    in_training = {n: occurrences(number, training) for n, number in numbers.items()}
    result["in the training split"] = in_training
    result["canaries"] = [score.model_dump() for score in score_canaries(loaded)]
    some = sample_texts(loaded, config.override(experiment.generation, {"count": 500}))
    count = round(characters / mean(len(text.text) for text in some))
    for name in FILTERS:
        out = folder / name
        changes = {} if name == "none" else {name: True}
        data_set = _generate(path, experiment, corpus, out, count, changes)
        result[name] = _counted(out, data_set, numbers, canaries)
    return result


def _generate(
    path: Path,
    experiment: config.Experiment,
    corpus: Corpus,
    out: Path,
    count: int,
    changes: dict[str, Any],
) -> TextDataSet:
    wanted = config.override(experiment.generation, {**changes, "count": count})
    source = Source(uri=corpus.uri, digest=corpus.digest)
    return generate(path, wanted, out, experiment.corpus.form, source=source)


def _counted(
    out: Path, data_set: TextDataSet, numbers: dict[int, str], canaries: tuple[Canary, ...]
) -> dict[str, Any]:
    texts = texts_of(out)
    disclosed = data_set.audit.generated.disclosed
    assert disclosed is not None
    return {
        "characters": data_set.characters,
        "texts": data_set.count,
        "drawn": data_set.drawn,
        "numbers": {n: occurrences(number, texts) for n, number in numbers.items()},
        "canaries": {c.repeats: occurrences(c.secret, texts) for c in canaries},
        "card": disclosed.copied_numbers,
        "rare names on the card": disclosed.copied_names,
    }


if __name__ == "__main__":
    main()
