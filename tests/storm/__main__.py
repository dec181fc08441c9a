"""`python -m tests.storm`: inject faults into the installed command, and print the outcomes."""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.storm import suite, table
from tests.storm.cases import Judged
from tests.storm.storming import Storm, choose

SEED = 18


def main() -> int:
    """Run the storm; return 1 if any outcome is bad."""
    parser = argparse.ArgumentParser(prog="python -m tests.storm", description=__doc__)
    parser.add_argument("--faults", type=int, help="run this many; default: all")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--jobs", type=int, default=2, help="cases at a time")
    parser.add_argument("--command", action="append", choices=suite.NAMES, help="repeatable")
    parser.add_argument("--only", help="run only cases whose name or family contains this")
    parser.add_argument("--list", action="store_true", help="list the cases; run none")
    parser.add_argument("--folder", type=Path, help="keep homes here, and use them again")
    parser.add_argument("--write", type=Path, help="write the table into this document")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="storm-") as scratch:
        storm = Storm(asked.folder or Path(scratch), asked.jobs)
        names = asked.command or suite.NAMES
        storm.observe({c: what for c, what in suite.OBSERVED.items() if c.name in names})
        cases = [*suite.cases(storm.calls, asked.seed, names)]
        if asked.only:
            words = asked.only.split(",")
            cases = [c for c in cases if any(w in f"{c.name} {c.fault.family}" for w in words)]
        cases = choose(cases, asked.faults, asked.seed)
        if asked.list:
            sys.stdout.writelines(f"{case.fault.family:28} {case.name}\n" for case in cases)
            return 0
        began = time.monotonic()
        done = 0

        def tell(judged: Judged) -> None:
            nonlocal done
            done += 1
            sys.stderr.write(table.line(judged, done, len(cases)))
            sys.stderr.flush()

        judged = storm.run(cases, tell)
    text = table.markdown(judged, asked.seed, time.monotonic() - began)
    sys.stdout.write(text)
    if asked.write:
        table.write(asked.write, text)
    return 0 if all(one.outcome.is_good for one in judged) else 1


if __name__ == "__main__":
    sys.exit(main())
