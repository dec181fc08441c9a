"""The chain: the stages that lead from source files to a trained model and a page about it.

Each stage is one class in one file. The other modules are:

stages       lists the stages in order
stage        defines the base classes of stages
records      keeps the results of stages on disk, each in a folder named by a key
plan         lists what a run of the chain would do
warm_start   chooses the initial weights of a training run
ruling       compares a new version with the champion
request      interprets a request for a data set of generated texts
mending      rebuilds a damaged corpus or n-gram model of a registered version

`flows.retrain` runs the stages as Prefect tasks.
"""
