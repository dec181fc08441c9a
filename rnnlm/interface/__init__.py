"""What `import rnnlm` offers to scripts and notebooks: `train`, `load` and the models they return.

`rnnlm.train` and `rnnlm.load` are imported from here when they are first used.
"""
