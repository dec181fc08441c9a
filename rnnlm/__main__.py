"""Run the command line: `python -m rnnlm` is the same as `rnnlm`."""

import runpy

runpy.run_module("flows.cli", run_name="__main__")
