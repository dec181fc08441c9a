"""Score how well a model predicts texts, so that every token counts exactly once.

Scores have confidence intervals, and are compared with those of n-gram models. Adaptive evaluation
scores a model that keeps learning from the text that it reads. `results` and what it needs import
no torch; commands read scores without waiting for it.
"""
