"""Wiring: Prefect runs the library's steps, MLflow remembers what came of them.

cli, commands, console     the command line: what there is, what it does, how it looks
retrain, generation        flows: the chain; a data set
sweep, housekeeping        flows: better settings; what nothing needs any more
tasks, steps, execution    a step as a task; what was done, by key, verified; who runs its shards
planning, starting         what a run would do; which weights a training begins with
gating, notifying          what the gate weighs; who is told
retrying, reporting        when to try again; who hears how it goes
generating, scoring        what `generate` and `evaluate` mean
sweeping, keeping          the parts of sweep and of housekeeping
tracking                   MLflow runs: curves, figures, pictures, texts
registry, packaged         versions of models and their aliases; a version that loads anywhere
servers                    Prefect for one command; pages; those that stay up, their deployments
home, addresses            where state lives; how addresses are printed
credentials                the password for both pages
"""
