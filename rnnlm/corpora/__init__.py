"""Corpora: where texts come from, how they are read, and how documents are assigned to splits."""
