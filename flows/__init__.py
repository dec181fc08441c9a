"""The application: Prefect runs the library's stages, and MLflow records their results.

cli, commands, console     the command line: its list of commands, their work, their output
retrain, generation        flows: the chain that trains a model; the generation of a data set
sweep, housekeeping        flows: the search for better settings; the removal of unneeded data
chain                      the stages from corpus to review page, one per file; records; the plan
registry                   versions of models, their aliases, bases; portable packaged models
tracking                   MLflow runs: curves, figures, pictures, texts
sweeping, cleanup          the parts of sweep and of housekeeping
servers                    Prefect for one command; web pages; long-running servers, deployments
runtime                    the home, workers, reporting, retries, notifications
"""
