"""Wiring: Prefect runs the library's stages, MLflow remembers what came of them.

cli, commands, console     the command line: what there is, what it does, how it looks
retrain, generation        flows: the chain; a data set
sweep, housekeeping        flows: better settings; what nothing needs any more
chain                      the stages from corpus to page, a file each; records on disk; the plan
registry                   versions of models, their aliases, bases; a version that loads anywhere
tracking                   MLflow runs: curves, figures, pictures, texts
sweeping, cleanup          the parts of sweep and of housekeeping
servers                    Prefect for one command; pages; those that stay up, their deployments
runtime                    the home, workers, reporting, retries, notices
"""
