"""The application around the library `rnnlm`: Prefect runs the work, MLflow records the results.

The package consists of these modules and subpackages:

cli, commands, console     the command line: the list of commands, what each does, what it prints
retrain                    the Prefect flow that runs the chain from a corpus to a trained model
generation                 the Prefect flow that generates a data set with a trained model
sweep, sweeping            the Prefect flow that searches for better settings, and its parts
projects                   write a project: config, schedules, README
housekeeping, cleanup      the Prefect flow that removes unneeded data, and its parts
health                     checks and repairs of a home, for `rnnlm doctor`
chain                      the stages of the chain, one per file; their records on disk; the plan
transfer                   move versions between homes as archives
registry                   versions of models and their aliases in MLflow; base models
lookup                     finds a model's checkpoint in the registry without importing MLflow
tracking                   MLflow runs: learning curves, figures, pictures and texts
servers                    a Prefect server for a single command, web pages, long-running servers
runtime                    the home folder, workers, progress reports, retries, notifications
"""
