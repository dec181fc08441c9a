"""Fuzz every reader and parser, and print a table: `python -m tests.fuzz --cases 1000000`."""

import argparse
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed

import torch

from tests.fuzz.running import Outcome, fuzz, shares
from tests.fuzz.target import Target
from tests.fuzz.targets import TARGETS


def _row(outcome: Outcome) -> str:
    return (
        f"| {outcome.name:<19} | {outcome.cases:>9,} | {outcome.refused:>9,} "
        f"| {1000 * outcome.seconds:>9,.0f} | {outcome.memory / 1e6:>9,.0f} "
        f"| {'yes' if outcome.failure else '0':>9} |"
    )


def main() -> None:
    """Run the targets, print a row for each, then the failures; exit with 1 if there are any."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=1_000_000, help="number of cases in all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2, help="processes at a time")
    parser.add_argument("--only", default="", help="names of targets, separated by commas")
    asked = parser.parse_args()
    wanted = {name for name in asked.only.split(",") if name}
    targets = [target for target in TARGETS if not wanted or target.name in wanted]
    torch.set_num_threads(1)
    began = time.monotonic()

    def run(pair: tuple[Target, int]) -> Outcome:
        return fuzz(pair[0], pair[1], asked.seed)

    print("| target              |     cases |   refused | peak (ms) | peak (MB) | unhandled |")
    print("|---------------------|----------:|----------:|----------:|----------:|----------:|")
    outcomes = []
    with ThreadPoolExecutor(asked.jobs) as pool:
        pairs = zip(targets, shares(targets, asked.cases), strict=True)
        for done in as_completed([pool.submit(run, pair) for pair in pairs]):
            outcomes.append(done.result())
            print(_row(outcomes[-1]), flush=True)
    total = sum(outcome.cases for outcome in outcomes)
    failed = [outcome for outcome in outcomes if outcome.failure]
    print(f"\n{total:,} cases, {len(failed)} targets with unhandled errors", end=", ")
    print(f"{time.monotonic() - began:,.0f} s")
    for outcome in failed:
        print(f"\n== {outcome.name}\n{outcome.failure}")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
