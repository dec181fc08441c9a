"""Servers: the embedded one of a command, the pages of `rnnlm ui`, and those that stay up."""
