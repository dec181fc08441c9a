"""Compile regular expressions to an automaton over bytes; run as a script, in its own process.

The library that does the work has no limits of its own: a short expression can take it minutes and
gigabytes, or make it abort the process. `rnnlm.constraints.regex` starts this script and limits it.
Only the standard library and `outlines_core` are imported, which takes a few hundredths of a
second.

Standard input is a JSON object: `expressions`, `cpu_seconds` and `memory_bytes`. All expressions
are compiled, to check them, and the last one's automaton is returned. Standard output is a line of
JSON, followed by the table if the line has `states`:

- `{"refused": REASON}` if an expression is invalid;
- `{"states": 0}` if the last expression matches nothing;
- `{"states": N, "final": [...]}`, then N × 256 native 32-bit integers: the state that follows after
  each byte, -1 if none does. The initial state is 0; in the states `final` a match is complete.
"""

import json
import sys
from array import array
from contextlib import suppress
from typing import Any

_BYTES = 256


def _limit(cpu_seconds: int, memory_bytes: int) -> None:
    try:
        import resource  # noqa: PLC0415 - Windows does not have it
    except ImportError:
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds))
    with suppress(ValueError):  # macOS refuses this limit
        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))


def _table(index: Any) -> tuple["array[int]", list[int]]:
    rows = index.get_transitions()
    initial = index.get_initial_state()
    reached = {state for row in rows.values() for state in row.values()}
    states = [initial, *sorted((rows.keys() | reached) - {initial})]
    number = {state: place for place, state in enumerate(states)}
    table = array("i", [-1]) * (_BYTES * len(states))
    for state, row in rows.items():
        start = _BYTES * number[state]
        for byte, after in row.items():
            if byte < _BYTES:  # after a match, the library adds a token that ends the text
                table[start + byte] = number[after]
    return table, sorted(number[state] for state in index.get_final_states())


def _say(found: dict[str, object]) -> None:
    sys.stdout.buffer.write(json.dumps(found).encode() + b"\n")


def main() -> None:
    """Read the expressions from standard input, and write the automaton to standard output."""
    asked = json.load(sys.stdin)
    _limit(asked["cpu_seconds"], asked["memory_bytes"])
    import outlines_core  # type: ignore[import-untyped]  # after the limits are set

    vocabulary = outlines_core.Vocabulary(_BYTES, {bytes([byte]): [byte] for byte in range(_BYTES)})
    index = None
    for expression in asked["expressions"]:
        try:
            index = outlines_core.Index(expression, vocabulary)
        except ValueError as error:
            if "Found no transitions" not in str(error):
                _say({"refused": str(error)})
                return
            index = None
    if index is None:
        _say({"states": 0})
        return
    table, final = _table(index)
    _say({"states": len(table) // _BYTES, "final": final})
    table.tofile(sys.stdout.buffer)


if __name__ == "__main__":
    main()
