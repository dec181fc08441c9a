"""Faults injected into the installed command: `make storm`, or `python -m tests.storm --help`.

A *case* is a command and a fault. The command runs in a copy of a prepared home and meets the
fault; then the same command runs again without it. The outcome is judged by comparing the home and
the command's output with those of runs that met no fault.

    cases.py       what a command, a fault and an outcome are
    commands.py    the commands, and the homes that they run in
    faults.py      the faults
    shim.c         a library to preload, which injects faults at system calls
    injecting.py   runs a command with a fault
    snapshots.py   what a home holds, for comparison
    judging.py     the outcome of a case
    storming.py    runs all cases, two at a time
    table.py       the table of outcomes

Other suites can pass their own commands and faults to `storming.storm`.
"""
