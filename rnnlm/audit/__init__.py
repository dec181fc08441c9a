"""Fit to publish: what a generated data set is like beside the real texts, its card and its pages.

Every figure is computed per shard, as sums, and stands beside the same figure of real texts that
were held out. What is computed on all texts is cheap; the rest is computed on a stated sample.
"""
