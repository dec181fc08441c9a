"""Recurrent language models: corpora in, trained models and text data sets out.

The library uses PyTorch and Arrow but neither Prefect nor MLflow; `flows` connects it to both.
Importing this package imports nothing heavy; import what you need from its modules.
"""

__version__ = "0.1.0"
