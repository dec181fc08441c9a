"""Wiring: Prefect runs the library's steps, MLflow remembers what came of them.

cli, commands, console     the command line: what there is, what it does, how it looks
retrain, generation        flows: the chain; a data set
sweep, housekeeping        flows: better settings; what nothing needs any more
chain                      the stages from corpus to page, a file each; records on disk; the plan
execution, notifying       who runs a stage's shards; who is told of a new champion
retrying, reporting        when to try again; who hears how it goes
generating, scoring        what `generate` and `evaluate` mean
sweeping, keeping          the parts of sweep and of housekeeping
tracking                   MLflow runs: curves, figures, pictures, texts
registry, packaged         versions of models and their aliases; a version that loads anywhere
servers                    Prefect for one command; pages; those that stay up, their deployments
home, addresses            where state lives; how addresses are printed
credentials                the password for both pages
"""
