"""The environment of every flow: the home, workers, reporting, retries, notifications."""
