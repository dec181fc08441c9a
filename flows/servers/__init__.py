"""Start, protect and end the servers of Prefect and MLflow.

There are three kinds: Prefect servers that run as long as one command (`embedded`), servers for the
web pages of `rnnlm ui` (`pages`), and the long-running servers of `rnnlm serve` (`standing`).
"""
