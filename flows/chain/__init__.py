"""The chain, stage by stage: from source files to a review page about the trained model.

Each stage is one class in one file; `stages` lists them. `records` keeps results on disk by key,
`stage` defines what a stage is, `plan` lists what a run would do, `warm_start` chooses the initial
weights of a training, `ruling` compares a version with the champion, and `request` interprets a
request for a data set. `flows.retrain` runs the stages as Prefect tasks.
"""
