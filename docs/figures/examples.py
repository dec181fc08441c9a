"""Train the models of docs/examples.md; write the page's tables and texts, and its picture.

    python docs/figures/examples.py [--only speeches,novels,recipes,colors]

The script runs the commands that the page shows, and shows the first texts that a model generates;
none is chosen by hand. It takes half an hour to an hour and a half on two cores. If it is run
again, it only does what is missing. With `--only`, the other parts of the page stay as they are.
"""

import argparse
import json
import resource
import shlex
import statistics
import subprocess
import sys
import textwrap
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from coloraide import Color

from rnnlm import colors
from rnnlm.corpora.documents import iter_texts
from rnnlm.audit import gallery

PAGE = ROOT / "docs" / "examples.md"
DATA = ROOT / "data" / "examples"
"""Folder for the results of training, since a later run that finds a cached model does not know how
long its training took."""
IMAGES = ROOT / "docs" / "images"
RNNLM = [sys.executable, "-m", "flows.cli"]
SHOWN, JUDGED = 5, 500
"""Number of texts that the page shows, and number of texts that its figures are computed from."""
LONGEST = 900
"""Number of characters after which a shown text is cut."""
TEMPERATURES = (0.5, 0.8, 1.1)
SWATCHES = 32


def run(*words: str) -> tuple[dict[str, Any], float, float]:
    """Run a command of rnnlm; return its JSON output, its wall time and its CPU time in seconds."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    command = [*RNNLM, *words, "--json"]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=False)
    if done.returncode:
        sys.exit(f"{shlex.join(['rnnlm', *words])} failed")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return json.loads(done.stdout), time.monotonic() - began, spent


def trained(config: str, *settings: str) -> dict[str, Any]:
    """Train a model unless it is cached; return the JSON result of the run that trained it."""
    words = ["train", f"configs/{config}.toml"]
    for setting in settings:
        words += ["--set", setting]
    result = run(*words)[0]
    kept = DATA / f"{result['model']}-{result['version']}.json"
    if not kept.is_file():
        DATA.mkdir(parents=True, exist_ok=True)
        kept.write_text(json.dumps(result), "utf-8")
    return dict(json.loads(kept.read_text("utf-8")))


def generated(model: str, *options: str) -> tuple[list[str], dict[str, Any], float]:
    """Generate a data set; return its texts, its audit's figures, and the time in seconds."""
    result, seconds, _ = run("generate", model, "--format", "jsonl", *options)
    shards = sorted((ROOT / result["uri"]).rglob("*.jsonl"))
    texts = [json.loads(line)["text"] for shard in shards for line in shard.open(encoding="utf-8")]
    return texts, result["audit"], seconds


def figures(result: dict[str, Any]) -> list[str]:
    """Return the cells of a model's row of the table below `HEADER`."""
    test, is_known = result["test"], not result["cached"]["train"]
    minutes = f"{result['seconds']['train'] / 60:.1f}" if is_known else "–"
    fewer = 1 - test["bits_per_character"] / test["ngram_bits_per_character"]
    return [
        f"{test['ngram_bits_per_character']:.3f}",
        f"{test['bits_per_character']:.3f}",
        f"{fewer:.1%}",
        *(f"{test[f'existing_words_at_{t}']:.1%}" for t in ("0.5", "0.7", "1")),
        f"{test['existing_words_of_real_text']:.1%}",
        minutes,
    ]


HEADER = (
    "| model | 6-grams | bits per character | fewer | words at 0.5 | 0.7 | 1.0 | of real text | "
    "minutes |\n|---|---:|---:|---:|---:|---:|---:|---:|---:|"
)


def quoted(texts: Sequence[str]) -> Iterator[str]:
    """Yield the Markdown lines of a numbered list of texts."""
    for number, text in enumerate(texts, 1):
        shown = text if len(text) <= LONGEST else text[:LONGEST].rsplit(" ", 1)[0] + " …"
        yield f"{number}."
        yield "   ```text"
        for line in shown.split("\n"):
            for part in textwrap.wrap(line, 96, replace_whitespace=False) or [""]:
                yield f"   {part}"
        yield "   ```"


def selection(model: str, *options: str) -> Iterator[str]:
    """Yield the lines of a table that compares texts with and without options that select texts."""
    yield "| kept | words that exist | distinct 2-grams | copies | nearly copied | seconds |"
    yield "|---|---:|---:|---:|---:|---:|"
    for name, chosen in (
        ("all", ()),
        ("`--best-of 4`", ("--best-of", "4")),
        ("`--known-words-only`", ("--known-words-only",)),
    ):
        _, audit, seconds = generated(model, "--count", str(JUDGED), *options, *chosen)
        found = audit["generated"]
        cells = [
            name,
            f"{found['existing_word_share']:.1%}",
            f"{found['distinct_ngram_share']['2']:.1%}",
            f"{found['copied_share']:.1%}",
            f"{found['near_copied_share']:.1%}",
            f"{seconds:.0f}",
        ]
        yield f"| {' | '.join(cells)} |"


def written(model: str, *options: str) -> Iterator[str]:
    """Yield the Markdown lines of a `generate` command and the texts that it draws."""
    words = ["generate", model, "--count", str(SHOWN), *options]
    texts, _, _ = generated(model, "--count", str(SHOWN), *options)
    yield "```sh"
    yield shlex.join(["rnnlm", *words])
    yield "```"
    yield ""
    yield from quoted(texts)


def prose(config: str, labels: dict[str, str], *options: str) -> Iterator[str]:
    """Yield the Markdown lines of an example: figures of its models, texts, effect of selection.

    Args:
        config: Name of the configuration whose texts are compared with and without selection.
        labels: Names of the configurations to show, and what distinguishes each.
        options: Options of `generate`.
    """
    results = {name: trained(name) for name in labels}
    yield HEADER
    for name, label in labels.items():
        yield f"| {label}: `configs/{name}.toml` | {' | '.join(figures(results[name]))} |"
    for name, label in labels.items():
        yield ""
        yield f"{label[:1].upper()}{label[1:]}:" if len(labels) > 1 else "What it writes:"
        yield ""
        yield from written(name, *options)
    yield ""
    yield f"The effect of selection on {JUDGED} texts of `{config}`:"
    yield ""
    yield from selection(config, *options)


def distances(texts: Sequence[str], training: dict[str, list[colors.Color]]) -> list[float]:
    """Return each colour's median distance from training colours with the same last word.

    At most 50 training colours are compared; a colour without any is left out. The distance is
    CIEDE2000 (Sharma et al. 2005); a distance of 2 to 3 is just visible.

    Args:
        texts: Colours as lines.
        training: Training colours by the last word of their name, in lower case.
    """

    def converted(named: colors.Color) -> Color:
        return Color("srgb", [channel / 255 for channel in named[1:]])

    found = []
    for text in texts:
        color = colors.parse(text)
        known = training.get(color.name.split()[-1].lower(), []) if color else []
        if color and known:
            ours = converted(color)
            spread = [ours.delta_e(converted(other), method="2000") for other in known[:50]]
            found.append(statistics.median(spread))
    return found


def colours() -> Iterator[str]:
    """Yield the Markdown lines of the example on colours, and draw its picture."""
    yield "| numbers | temperature | valid | copies | ΔE₀₀ to colours of the same last word |"
    yield "|---|---:|---:|---:|---:|"
    rows, drawn = [], []
    for space in colors.SPACES:
        name = "colors" if space == "rgb" else f"colors-{space}"
        settings = () if space == "rgb" else (f"name={name}", f"corpus.render=color-{space}")
        result = trained("colors", *settings)
        versions = run("models")[0]["models"]
        uri = next(one["corpus_uri"] for one in reversed(versions) if one["name"] == name)
        training = defaultdict(list)
        for text in iter_texts(uri, "train"):
            if color := colors.parse(text):
                training[color.name.split()[-1].lower()].append(color)
        for temperature in TEMPERATURES:
            options = ("--count", str(JUDGED), "--temperature", str(temperature))
            texts, audit, _ = generated(name, *options)
            found = audit["generated"]
            cells = [
                space.upper(),
                f"{temperature}",
                f"{found['valid_share']:.1%}",
                f"{found['copied_share']:.1%}",
                f"{statistics.median(distances(texts, training)):.1f}",
            ]
            yield f"| {' | '.join(cells)} |"
            swatches = [color for color in map(colors.parse, texts) if color]
            drawn.append((f"{space.upper()}, temperature {temperature}", swatches[:SWATCHES]))
        held_out = [*iter_texts(uri, "validation")]
        real = statistics.median(distances(held_out, training))
        rows.append((space, figures(result), real))
    yield f"| real colours | | 100% | | {rows[0][2]:.1f} |"
    yield ""
    yield HEADER
    for space, cells, _ in rows:
        yield f"| {space.upper()} | {' | '.join(cells)} |"
    yield ""
    yield "![Invented colours in three spaces, at three temperatures](images/examples-colors.png)"
    gallery.draw(drawn, IMAGES / "examples-colors.png")


PARTS = {
    "speeches": lambda: prose(
        "speeches", {"speeches": "speeches"}, "--prefix", "My fellow Americans,"
    ),
    "novels": lambda: prose(
        "novels",
        {
            "novels-characters": "characters",
            "novels": "word pieces, from base english",
            "novels-words": "words",
        },
    ),
    "recipes": lambda: prose("recipes", {"recipes": "recipes"}, "--grammar", "recipe"),
    "colors": colours,
}


def main() -> None:
    """Make the parts of the page and put each between its two marks on the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--only", default=",".join(PARTS), help="parts, with commas between")
    page = PAGE.read_text("utf-8")
    for name in parser.parse_args().only.split(","):
        begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
        before, _, rest = page.partition(begin)
        after = rest.partition(end)[2]
        made = "\n".join(PARTS[name]())
        page = f"{before}{begin}\n\n{made}\n\n{end}{after}"
        PAGE.write_text(page, "utf-8")


if __name__ == "__main__":
    main()
