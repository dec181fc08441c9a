"""Find the checkpoint that a reference to a model means, in milliseconds.

MLflow takes seconds to import, so its store is read directly here; see `entries`. `flows.registry`
does everything else with the registry, and takes over if the store cannot be read directly.
"""
