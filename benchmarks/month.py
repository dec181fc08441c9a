"""Simulate a month of scheduled retraining on a corpus that grows, changes and breaks.

    python benchmarks/month.py [--first 1] [--last 30] [--folder FOLDER] [--json FILE]

For each day the script writes that day's corpus (colours of the xkcd survey, one per line) and runs
the flow `retrain` as its schedule would. Then it makes all files a day older and runs
`housekeeping`, which keeps the model versions that have an alias and the newest three. It prints a
line per day: what happened to the corpus, the result of the flow, the version that is champion,
megabytes on disk, and seconds. A real server on the loopback interface receives the messages that
the flow sends to a webhook.
"""

import sys

sys.path[0] = sys.path[0].removesuffix("/benchmarks")  # tokenize.py there hides Python's own

import argparse
import contextlib
import json
import os
import random
import tempfile
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

CONFIG = """
[corpus]
source = "{source}"
documents = "lines"
form = "color"
[splits]
validation = 0.1
test = 0.1
[model]
embedding_size = 32
hidden_size = 96
[training]
budget = "{budget}"
batch_size = 32
learning_rate = 0.01
validations = 6
device = "cpu"
[generation]
count = 100
temperature = 0.8
max_length = 60
[gate]
beat_ngrams = false
valid_share = 0.3
[retraining]
compare_minutes = {compare}
"""
FIRST_DAY, DAILY = 560, 13
"""Number of colours on the first day, and number of colours added per day (weekends' colours come
on the next working day)."""
GARBAGE_DAY, EDITED_DAY, BROKEN_DAY = 17, 11, 23
KEPT_VERSIONS = 3
DAY_SECONDS = 86_400


def main() -> None:
    """Run the month and print it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--last", type=int, default=30)
    parser.add_argument("--budget", default="12 epochs")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = asked.folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        messages: list[dict[str, Any]] = []
        address = stack.enter_context(webhook(messages))
        os.environ |= {"RNNLM_HOME": str(folder.resolve()), "RNNLM_NOTIFY": address}
        result = live(folder, range(asked.first, asked.last + 1), asked.budget)
    result["messages"] = messages
    for message in messages:
        print(f"  message: {message['title']} ({message['message']})")
    if asked.json:
        asked.json.write_text(json.dumps(result, indent=2))


def live(folder: Path, days: range, budget: str) -> dict[str, Any]:
    """Simulate some days; return each day's figures, and the registry's final state.

    Args:
        folder: The home, a folder for all files.
        days: Numbers of the days, from 1.
        budget: The setting `training.budget`.
    """
    from flows import registry
    from flows.runtime import home
    from flows.servers import embedded

    here = home.current()
    text, config = folder / "colors.txt", folder / "colors.toml"
    with embedded.serve(here) as server:
        if server:
            server.wait()
        from flows.housekeeping import housekeeping
        from flows.retrain import retrain

        print(
            f"{'day':>3}  {'the corpus':<22} {'the flow':<10} {'champion':>8}  {'MB':>6} {'s':>5}"
        )
        lived: list[dict[str, Any]] = []
        for day in days:
            happened = write_corpus(text, day)
            compare = 1 if day == days[1] else 0
            config.write_text(CONFIG.format(source=text, budget=budget, compare=compare))
            before, began = len(registry.versions(here)), time.monotonic()
            try:
                retrain(str(config), trigger="schedule")
                made = len(registry.versions(here)) > before
                flow = "version" if made else "unchanged"
            except Exception as error:  # noqa: BLE001 - a day fails, the month continues
                flow = "failed"
                reason = str(error)
            seconds = time.monotonic() - began
            newest = registry.versions(here, "colors")[0]
            champion = registry.by_alias(here, "colors", "champion")
            if flow != "failed":
                reason = newest.reason if flow == "version" else ""
            let_a_day_pass(folder)
            kept = housekeeping(apply=True, keep_days=0, keep_versions=KEPT_VERSIONS)
            megabytes = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()) / 1e6
            lived.append(
                {
                    "day": day,
                    "corpus": happened,
                    "flow": flow,
                    "version": newest.version,
                    "alias": newest.alias,
                    "reason": reason,
                    "started_from": newest.started_from if flow == "version" else "",
                    "champion": champion.version if champion else None,
                    "megabytes": megabytes,
                    "seconds": seconds,
                    "freed_bytes": kept["bytes"],
                }
            )
            crowned = champion.version if champion else "–"
            print(
                f"{day:>3}  {happened:<22} {flow:<10} {crowned:>8}  {megabytes:>6.1f} "
                f"{seconds:>5.1f}  {reason}",
                flush=True,
            )
        moves = [move.model_dump() for move in registry.history(here, "colors")]
        versions = [version.model_dump() for version in registry.versions(here, "colors")]
    return {"days": lived, "moves": moves, "versions": versions}


def write_corpus(path: Path, day: int) -> str:
    """Write the corpus of a day; return what happened to it."""
    colors = survey()
    if day % 7 in (6, 0) and path.exists():
        return "weekend: nothing new"
    if day == GARBAGE_DAY:
        noise = random.Random(day)
        alphabet = "".join(map(chr, range(33, 127)))
        path.write_text("\n".join("".join(noise.choices(alphabet, k=24)) for _ in range(700)))
        return "turned to garbage"
    if day == BROKEN_DAY:
        path.write_bytes(b"")
        return "empty"
    lines = colors[: FIRST_DAY + DAILY * (day - 1)]
    happened = f"{DAILY} more colours" if path.exists() else f"{len(lines)} colours"
    if day in (GARBAGE_DAY + 1, BROKEN_DAY + 1):
        happened = "restored"
    if day >= EDITED_DAY:
        lines = [line.replace("green", "verdant") for line in lines]
        happened = "every green renamed" if day == EDITED_DAY else happened
    path.write_text("\n".join(lines) + "\n")
    return happened


def let_a_day_pass(folder: Path) -> None:
    """Make all files a day older, so that housekeeping does not take any for being in use."""
    for path in folder.rglob("*"):
        if path.is_file():
            seen = path.stat()
            os.utime(path, (seen.st_atime - DAY_SECONDS, seen.st_mtime - DAY_SECONDS))


def survey() -> list[str]:
    """Return the survey's colours as lines `name R G B`, shuffled, always in the same order."""
    from matplotlib.colors import XKCD_COLORS, to_rgb

    lines = []
    for name, code in sorted(XKCD_COLORS.items()):
        red, green, blue = (round(255 * part) for part in to_rgb(code))
        lines.append(f"{name.removeprefix('xkcd:')} {red} {green} {blue}")
    random.Random(1).shuffle(lines)
    return lines


@contextlib.contextmanager
def webhook(messages: list[dict[str, Any]]) -> Iterator[str]:
    """Run a server that adds posted messages to a list; yield its address in Apprise's format."""

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            messages.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"json://127.0.0.1:{server.server_port}/hook"
    finally:
        server.shutdown()


if __name__ == "__main__":
    main()
