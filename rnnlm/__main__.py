"""Run the command line: `python -m rnnlm` is the same as `rnnlm`."""

import runpy

import rnnlm_flows

rnnlm_flows.use()  # a package `flows` in the current folder is not ours
runpy.run_module("flows.cli", run_name="__main__")
