"""Trained models that come with the package, for others to start from."""
