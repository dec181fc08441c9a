"""Start, protect and end web servers: Prefect's, MLflow's, and that of `rnnlm play`.

There are four kinds: Prefect servers that run as long as one command (`embedded`), servers for the
web pages of `rnnlm ui` (`pages`), the long-running servers of `rnnlm serve` (`standing`), and a
server of a single page for `rnnlm play` (`play_server`).
"""
