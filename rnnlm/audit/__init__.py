"""Audit a generated data set against real texts, and write its card and its HTML pages.

The audit measures, for example, how many texts are valid, copied from training text, or alike. Each
figure is computed from sums over the shards of the data set, and is shown next to the same figure
for held-out real texts. Figures that are fast to compute cover all texts; the others cover a sample
of the texts, and the card states its size.
"""
