"""The chain, stage by stage: from source files to a page about the model that was made of them.

A stage is one class in one file; `stages` lists them. `records` keeps results on disk by key,
`stage` says what a stage is, `task` makes it a Prefect task, `plan` says what a run would do,
`warm_start` chooses the weights that training begins with, `ruling` weighs a version against the
champion, `request` says what a data set is asked for.
"""
