"""Plan a very large data set from rates measured here, and simulate many workers that fail.

    python benchmarks/scale.py [--texts 1000000000] [--workers 1000] [--model FILE] [--json FILE]

First, a small job is drawn and published on one thread, to measure texts per second and bytes per
text. The model is that of `configs/colors-demo.toml`, trained at the beginning, unless --model
names another. From these rates follow the cores, hours, bytes and requests of the large job.

Then simpy simulates the workers: each takes a part of the job (`rnnlm generate --part I/N`) from a
queue and draws its shards, one after the other. A worker is killed every `MEAN_HOURS_UP` hours on
average, loses the shard that it was drawing, and comes back after a while; its part is queued
again. Some workers are slow. Only time is simulated: the plan, the parts, the records of drawn
shards in a folder, the check that all are drawn, and the plan of publishing are the product's own.
"""

import sys

sys.path[0] = sys.path[0].removesuffix("/benchmarks")  # tokenize.py there hides Python's own

import argparse
import json
import random
import resource
import tempfile
import time
from collections import defaultdict
from collections.abc import Generator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import simpy

import rnnlm
from rnnlm.checksums import write_record
from rnnlm.config import GenerationConfig
from rnnlm.generation.selecting import first_ones, places_of
from rnnlm.generation.job import generate
from rnnlm.generation.parts import check_all_drawn, missing_parts
from rnnlm.generation.plan import begin, plan_job
from rnnlm.generation.rounds import next_round
from rnnlm.generation.shard_sampling import Drawing, DrawnShard, draw_shard, is_drawn

CONFIGS = Path(__file__).resolve().parent.parent / "configs"
MEASURED_TEXTS = 100_000
SHARD_SIZE = 100_000
MEAN_HOURS_UP = 2.0
"""Mean time until a worker is killed, with an exponential distribution."""
SECONDS_DOWN = (30.0, 600.0)
"""Least and most time until a killed worker is back, with a uniform distribution."""
SLOW_SHARE, SLOWNESS = 0.05, 4.0
"""Share of slow workers, and how many times as long they take."""


@dataclass(frozen=True)
class Rates:
    """What one core did in the measured job.

    Attributes:
        drawn: Texts per second, drawing.
        published: Texts per second, from drawn shards to the finished data set.
        text_bytes: Bytes of the data set per text.
        record: The manifest's entry of one shard.
    """

    drawn: float
    published: float
    text_bytes: float
    record: dict[str, Any]


def measure(model: Path, folder: Path) -> Rates:
    """Draw and publish a small job on one thread, and return the rates."""
    config = GenerationConfig(count=MEASURED_TEXTS, shard_size=MEASURED_TEXTS // 4, max_length=60)
    plan = plan_job(model, config, "text", None, None)
    drawing, _ = begin(plan, folder / "job")
    shards, _ = next_round(drawing, [], 0)
    draw_shard(replace(shards[0], drawing=replace(drawing, out=folder / "warm")))
    began = time.perf_counter()
    for shard in shards:
        draw_shard(shard)
    drawn = time.perf_counter()
    data_set = generate(model, config, folder / "job", "text")
    done = time.perf_counter()
    size = sum(path.stat().st_size for path in (folder / "job" / "data").iterdir())
    manifest = json.loads((folder / "job" / "manifest.json").read_text("utf-8"))
    return Rates(
        data_set.count / (drawn - began),
        data_set.count / (done - drawn),
        size / data_set.count,
        manifest["shards"][0],
    )


@dataclass(frozen=True)
class Simulated:
    """A simulated job.

    Attributes:
        parts: Number of parts.
        hours: Time until the last shard was drawn.
        killed: Number of times that a worker was killed.
        again: Share of texts that were drawn more than once, because a kill lost them.
        busy: Share of the workers' time, until the end, that went into shards that were kept.
    """

    parts: int
    hours: float
    killed: int
    again: float
    busy: float


def simulate(drawing: Drawing, workers: int, parts: int, rate: float) -> Simulated:
    """Simulate the drawing of a job, and leave the records of all shards in its folder.

    Args:
        drawing: The job; its folder is empty.
        workers: Number of workers.
        parts: Number of parts.
        rate: Texts per second of a worker that is not slow.
    """
    chance = random.Random(20)
    shards, _ = next_round(drawing, [], 0)
    owned: dict[int, list[DrawnShard]] = defaultdict(list)
    for shard in shards:
        owned[missing_parts([shard], parts)[0]].append(shard)
    clock = simpy.Environment()
    queue = simpy.Store(clock)
    queue.items.extend(sorted(owned))
    total = {"killed": 0, "lost": 0.0, "useful": 0.0, "left": len(shards)}
    finished = clock.event()

    def work(slowness: float) -> Generator[simpy.Event, Any, None]:
        dies_at = clock.now + chance.expovariate(1 / (MEAN_HOURS_UP * 3600))
        while True:
            part = yield queue.get()
            for shard in owned[part]:
                if is_drawn(shard):
                    continue
                seconds = shard.count * slowness / rate
                if clock.now + seconds > dies_at:
                    yield clock.timeout(max(0.0, dies_at - clock.now))
                    total["killed"] += 1
                    total["lost"] += shard.count
                    yield queue.put(part)
                    yield clock.timeout(chance.uniform(*SECONDS_DOWN))
                    dies_at = clock.now + chance.expovariate(1 / (MEAN_HOURS_UP * 3600))
                    break
                yield clock.timeout(seconds)
                total["useful"] += seconds
                shard.path.touch()
                record = {"job": drawing.job, "sha256": "0" * 64, "count": shard.count}
                write_record(shard.record_path, record)
                total["left"] -= 1
                if not total["left"]:
                    finished.succeed()

    for number in range(workers):
        clock.process(work(SLOWNESS if number < SLOW_SHARE * workers else 1.0))
    clock.run(finished)
    check_all_drawn(drawing)
    return Simulated(
        parts,
        clock.now / 3600,
        int(total["killed"]),
        total["lost"] / drawing.config.count,
        total["useful"] / (clock.now * workers),
    )


def plan_publishing(texts: int, rates: Rates, folder: Path) -> dict[str, float]:
    """Do what publishing does in one process for all shards; return seconds and sizes.

    These are finding where each shard of the data set begins among the drawn texts, and writing the
    manifest.
    """
    began = time.perf_counter()
    kept = first_ones(np.ones(texts, dtype=np.bool_), texts)
    firsts = places_of(kept, np.arange(0, texts, SHARD_SIZE))
    found = time.perf_counter()
    write_record(folder / "manifest.json", {"shards": [rates.record] * len(firsts)})
    return {
        "places_seconds": found - began,
        "manifest_seconds": time.perf_counter() - found,
        "manifest_bytes": (folder / "manifest.json").stat().st_size,
        "peak_gigabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
    }


def main() -> None:
    """Measure, plan and simulate, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", type=int, default=1_000_000_000)
    parser.add_argument("--workers", type=int, default=1000)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = asked.model
        if model is None:
            trained = rnnlm.train(CONFIGS / "colors-demo.toml", folder / "model")
            model = trained.path
        rates = measure(model, folder)
        config = GenerationConfig(count=asked.texts, shard_size=SHARD_SIZE)
        plan = plan_job(model, config, "text", None, None)
        rows = []
        for each in (1, 10):
            drawing, _ = begin(plan, folder / f"parts-{each}")
            drawing.out.mkdir(parents=True)
            rows.append(simulate(drawing, asked.workers, each * asked.workers, rates.drawn))
        publishing = plan_publishing(asked.texts, rates, folder)
    show(asked.texts, asked.workers, rates, rows, publishing)
    if asked.json:
        values = {"rates": asdict(rates), "rows": [asdict(row) for row in rows], **publishing}
        asked.json.write_text(json.dumps(values, indent=1))


def show(
    texts: int, workers: int, rates: Rates, rows: list[Simulated], publishing: dict[str, float]
) -> None:
    """Print the plan and the simulation as Markdown."""
    say = sys.stdout.write
    shards = -(-texts // SHARD_SIZE)
    drawing, writing = (texts / rate / 3600 for rate in (rates.drawn, rates.published))
    say(f"{texts:,} texts, {shards:,} shards\n\n| | |\n|---|---:|\n")
    for what, value in (
        ("texts per second and core, drawn", f"{rates.drawn:,.0f}"),
        ("texts per second and core, published", f"{rates.published:,.0f}"),
        ("core-hours to draw", f"{drawing:,.1f}"),
        ("core-hours to publish", f"{writing:,.1f}"),
        ("gigabytes", f"{texts * rates.text_bytes / 1e9:,.1f}"),
        ("requests to a store (claim, shards, manifest)", f"{shards + 2:,}"),
        ("manifest, megabytes", f"{publishing['manifest_bytes'] / 1e6:,.1f}"),
        ("seconds to find the shards' places", f"{publishing['places_seconds']:,.1f}"),
        ("seconds to write the manifest", f"{publishing['manifest_seconds']:,.1f}"),
        ("gigabytes of memory for that", f"{publishing['peak_gigabytes']:,.1f}"),
    ):
        say(f"| {what} | {value} |\n")
    say(f"\n{workers:,} workers, simulated; {drawing / workers * 60:,.1f} minutes without faults\n")
    say("\n| parts | minutes | killed | drawn again | useful time |\n|---:|---:|---:|---:|---:|\n")
    for row in rows:
        say(
            f"| {row.parts:,} | {row.hours * 60:,.1f} | {row.killed:,} | {row.again:.2%} "
            f"| {row.busy:.0%} |\n"
        )


if __name__ == "__main__":
    main()
