"""Train with the default settings on many texts, with and without a base, and score the models.

    RNNLM_CORPORA=FOLDER python benchmarks/texts.py [--only NAME,NAME] [--sides base,none]
        [--split validation] [--set KEY=VALUE] [--json FILE]

Each text is ingested, tokenized, trained on and scored by the library alone, with the settings that
`rnnlm train FILE` would choose. There are two sides: `base` starts from a pretrained model if one
is chosen for the text, `none` from random weights. A row of the table has:
- bits per character on the split, of a 6-gram model of characters and of the trained model, and by
  what share the trained model needs fewer;
- the share of words that exist, in texts drawn at temperatures 0.5, 0.7 and 1.0, and in real text;
- the share of texts drawn at 0.7 that are copies of training texts;
- the CPU-seconds of all processes, without counting n-grams and sampling.
Use `--split validation` to choose settings; the test split is only for the final table.

The texts are in FOLDER, as described in docs/corpora.md. Colours, headlines and code are made from
files there and from Python's standard library.
"""

import argparse
import json
import multiprocessing
import os
import random
import re
import resource
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:] = [path for path in sys.path if Path(path).resolve() != ROOT / "benchmarks"]
sys.path.insert(0, str(ROOT))

TEXTS = {
    "alice": "novels/alice_in_wonderland.txt",
    "oz": "novels/wizard_of_oz.txt",
    "pride": "novels/pride_and_prejudice.txt",
    "arabian-nights": "novels/thousand_one_nights.txt",
    "speeches": "speeches/obama.txt",
    "shakespeare": "benchmarks/tinyshakespeare.txt",
    "mealmaster": "recipes/mealmaster-0222-1.TXT",
    "occupations": "lists/occupations.txt",
    "tv-shows": "lists/tv-shows.txt",
    "menu-items": "lists/menu-items.txt",
    "plants": "lists/plants.txt",
    "proverbs": "lists/proverbs.txt",
    "names": "benchmarks/names.txt",
    "french": "languages/genesis-french.txt",
    "finnish": "languages/genesis-finnish.txt",
}
MADE = ("headlines", "colors", "code")
TEMPERATURES = (0.5, 0.7, 1.0)
DRAWN, DRAWN_CHARACTERS = 400, 60_000
"""Largest number of texts, and approximate largest number of characters, to draw at each
temperature."""


def make_texts(corpora: Path, folder: Path) -> dict[str, Path]:
    """Return the path of every text by name; write those of `MADE` into `folder`."""
    paths = {name: corpora / path for name, path in TEXTS.items()}
    for name, lines in (
        ("headlines", headlines(corpora)),
        ("colors", colors(corpora)),
        ("code", code()),
    ):
        paths[name] = folder / f"{name}.txt"
        paths[name].write_text("\n".join(lines) + "\n", "utf-8")
    return paths


def headlines(corpora: Path) -> Iterator[str]:
    """Yield the headings of WikiText-2's training text, each once."""
    text = (corpora / "benchmarks" / "wikitext-2" / "train.txt").read_text("utf-8")
    found = re.findall(r"^ (?:= )?= ([^=\n]+) =(?: =)? $", text, re.MULTILINE)
    spaced = (("@-@", "-"), (" - ", "-"), (" 's", "'s"), (" ,", ","))
    for found_heading in dict.fromkeys(found):
        heading = found_heading
        for before, after in spaced:
            heading = heading.replace(before, after)
        yield heading


def colors(corpora: Path) -> list[str]:
    """Return 4,224 colours of two brands as lines `name R G B`, in random order."""
    lines = []
    for brand in ("valspar", "behr"):
        for row in json.loads((corpora / "colors" / f"{brand}.json").read_text("utf-8")):
            digits = str(row.get("hex", "")).strip().lstrip("#")
            if re.fullmatch("[0-9a-fA-F]{6}", digits):
                numbers = " ".join(str(int(digits[n : n + 2], 16)) for n in (0, 2, 4))
                lines.append(f"{row['name'].strip()} {numbers}")
    chosen = [*dict.fromkeys(lines)]
    random.Random(1).shuffle(chosen)
    return chosen[:4224]


def code() -> Iterator[str]:
    """Yield some modules of Python's standard library."""
    for module in ("argparse", "ast", "dataclasses", "enum", "inspect", "random", "typing"):
        yield Path(os.__file__).with_name(f"{module}.py").read_text("utf-8")


def measure(name: str, path: Path, side: str, split: str, settings: tuple[str, ...]) -> Any:
    """Train on a text and return the figures of its row, or None for `base` if none is chosen.

    It must run in a new process, since it reports all CPU time that the process has used.

    Args:
        name: Name of the text.
        path: The text file.
        side: `base` or `none`; see the top of this file.
        split: Split to score.
        settings: Settings that replace the chosen ones, as `KEY=VALUE`.
    """
    import numpy as np

    from rnnlm import bases, checkpoint, dataset, header
    from rnnlm.bases import fitting
    from rnnlm.autoconfig import advise
    from rnnlm.config import GenerationConfig, ModelConfig, TokenizerConfig
    from rnnlm.corpora.files import locate
    from rnnlm.corpora.ingestion import ingest
    from rnnlm.evaluation.scoring import evaluate
    from rnnlm.audit.reference import build_reference
    from rnnlm.audit.summary import audit_shard, conclude
    from rnnlm.engine.drawing import sample_texts
    from rnnlm.training.api import train

    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch)
        wanted = () if side == "base" else ("training.base=none",)
        experiment = advise(str(path), out, (*wanted, *settings)).experiment
        start, words = None, None
        if experiment.training.base != "none":
            start = bases.shipped(experiment.training.base)
            if not start.is_file():
                start = Path(experiment.training.base)
            experiment = fitting.fit(experiment, start)
            words = header.load_description(start).tokenizer
        elif side == "base":
            return None  # no base is chosen: the same as the other side
        files = locate(experiment.corpus, out)
        corpus = ingest(files, experiment.corpus, experiment.splits, out / "corpus")
        dataset.tokenize(
            corpus.uri, corpus.digest, experiment.tokenizer, out / "tokens", tokenizer=words
        )
        model = train(str(out / "tokens"), experiment, out / "model", start=start)
        spent = [
            resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
        ]
        seconds = sum(usage.ru_utime + usage.ru_stime for usage in spent)
        loaded = checkpoint.load(Path(model.checkpoint))
        score = evaluate(loaded.model, dataset.load_split(str(out / "tokens"), split)).score
        spelled = out / "characters"
        dataset.tokenize(corpus.uri, corpus.digest, TokenizerConfig(kind="character"), spelled)
        counted = experiment.model_copy(update={"model": ModelConfig(architecture="ngram")})
        ngrams = checkpoint.load(Path(train(str(spelled), counted, out / "ngrams").checkpoint))
        beside = evaluate(ngrams.model, dataset.load_split(str(spelled), split)).score
        form = experiment.corpus.form
        spelling = dataset.load_tokenizer(str(spelled))
        reference = build_reference(corpus.uri, corpus.digest, form, spelling, out / "reference")
        row = {
            "text": name,
            "side": side,
            "characters": sum(corpus.characters.values()),
            "tokens": model.tokens,
            "best": round(model.best_step / max(1, model.step), 2),
            "bits": score.bits_per_character,
            "ngrams": beside.bits_per_character,
            "cpu_seconds": seconds,
        }
        typical = corpus.characters["train"] / corpus.documents["train"]
        for temperature in TEMPERATURES:
            count = int(min(DRAWN, max(20, DRAWN_CHARACTERS / typical)))
            config = GenerationConfig(
                count=count,
                batch_size=min(64, count),
                temperature=temperature,
                max_length=experiment.generation.max_length,
                seed=1,
            )
            texts = [text.text for text in sample_texts(loaded, config)]
            record = audit_shard(texts, np.ones(count, np.bool_), form, reference, count)
            audit = conclude(record, form, reference)
            row[f"existing_{temperature}"] = audit.generated.existing_word_share
            row[f"copied_{temperature}"] = audit.generated.copied_share
            if audit.held_out is not None:
                row["existing_real"] = audit.held_out.existing_word_share
        return row


def work(pipe: Any, *arguments: Any) -> None:
    """Run `measure` in a separate process and send its result through a pipe."""
    import torch

    torch.set_num_threads(1)
    pipe.send(measure(*arguments))


def show(row: dict[str, Any]) -> str:
    """Return a row of the table in Markdown."""

    def percent(value: float | None) -> str:
        return "–" if value is None else f"{value:.1%}"

    cells = [
        row["text"],
        f"{row['characters'] / 1000:,.0f}",
        row["side"],
        f"{row['ngrams']:.3f}",
        f"{row['bits']:.3f}",
        f"{1 - row['bits'] / row['ngrams']:+.1%}",
        *(percent(row[f"existing_{temperature}"]) for temperature in TEMPERATURES),
        percent(row.get("existing_real")),
        percent(row["copied_0.7"]),
        f"{row['cpu_seconds']:.0f}",
    ]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--only", help="names of texts, separated by commas")
    parser.add_argument("--sides", default="base,none")
    parser.add_argument("--split", choices=["validation", "test"], default="test")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--json", type=Path, help="also append the rows to this file, one per line")
    options = parser.parse_args()
    corpora = os.environ.get("RNNLM_CORPORA")
    if not corpora:
        sys.exit("RNNLM_CORPORA is not set; set it to the folder of texts; see docs/corpora.md")
    names = options.only.split(",") if options.only else [*TEXTS, *MADE]
    print(
        "| text | thousand characters | side | 6-grams | model | fewer | words at 0.5 | 0.7 | 1.0 "
        "| real | copies at 0.7 | CPU-seconds |"
    )
    print("|---|---:|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|", flush=True)
    spawn = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as scratch:
        paths = make_texts(Path(corpora), Path(scratch))
        for name in names:
            for side in options.sides.split(","):
                ours, theirs = spawn.Pipe()
                arguments = (theirs, name, paths[name], side, options.split, tuple(options.set))
                process = spawn.Process(target=work, args=arguments)
                process.start()
                theirs.close()
                try:
                    row = ours.recv()
                except EOFError:
                    print(f"| {name} | | {side} | failed |", flush=True)
                    continue
                process.join()
                if row is None:
                    continue
                print(show(row), flush=True)
                if options.json:
                    with options.json.open("a", encoding="utf-8") as file:
                        file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
