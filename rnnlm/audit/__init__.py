"""Audit a generated data set against real texts, and write its card and its HTML pages.

Every figure is computed from sums per shard, and is shown next to the same figure of held-out real
texts. Cheap figures are computed on all texts, the others on a sample whose size is stated.
"""
