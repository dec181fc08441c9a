"""Recurrent language models: corpora in, trained models and text data sets out.

The library knows PyTorch and Arrow and nothing of Prefect or MLflow; `flows` wires it to both.
Importing this package imports nothing heavy: take what you need from its modules.
"""

__version__ = "0.1.0"
