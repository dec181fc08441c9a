"""Recurrent language models: train them on corpora, and generate data sets of texts with them.

The library uses PyTorch and Arrow but neither Prefect nor MLflow; `flows` connects it to both.
Importing this package imports nothing heavy; import what you need from its modules.
"""

__version__ = "0.1.0"
