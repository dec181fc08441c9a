"""Train a model on token ids and keep the checkpoint that scores best on the validation split.

The entry point is `rnnlm.training.api.train`.
"""
