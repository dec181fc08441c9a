"""The commands of `rnnlm`, one module per subject.

Modules that are slow to import are imported inside the functions, so that `rnnlm --help` and
commands that do not need them start fast.
"""
