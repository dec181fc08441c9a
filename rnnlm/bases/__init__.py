"""Trained models that come with the package for others to start from, each with its card."""
