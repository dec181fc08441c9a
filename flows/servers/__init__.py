"""Servers: embedded in a command, for the pages of `rnnlm ui`, and long-running."""
