"""Wiring: Prefect runs the library's steps, MLflow remembers what came of them.

home          where state lives           steps      what was done, by key, verified
reporting     who is told                 tasks      one library function each
retrain       the chain as a flow         generation the flow that makes data sets
tracking      MLflow runs                 registry   versions and their aliases
serving       the packaged model          runtime    Prefect without a server to start
cli, console  the command line and its looks
"""
