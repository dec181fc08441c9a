"""Wiring: Prefect runs the library's steps, MLflow remembers what came of them.

cli, commands, console   the command line: what there is, what it does, how it looks
retrain, generation      flows: the chain; a data set
tasks, steps, execution  a step as a task; what was done, by key, verified; who runs its shards
tracking                 MLflow runs: curves, figures, pictures, texts
registry, packaged       versions of models and their aliases; a version that loads anywhere
servers                  Prefect for one command; pages; those that stay up, and their deployments
home, reporting          where state lives; who is told how it goes
"""
