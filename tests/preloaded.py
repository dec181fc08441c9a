"""What the fork server imports once for all commands; see `tests.forked`."""

import importlib

for name in (
    "alembic.command",
    "flows.cli",
    "flows.generation",
    "flows.housekeeping",
    "flows.retrain",
    "flows.sweep",
    "git",
    "matplotlib.backends.backend_agg",
    "matplotlib.backends.backend_svg",
    "matplotlib.figure",
    "mlflow.pyfunc",
    "mlflow.store.model_registry.sqlalchemy_store",
    "mlflow.store.tracking.sqlalchemy_store",
    "prefect.flow_engine",
    "prefect.task_engine",
    "pyarrow.dataset",
    "pydivsufsort",
    "rnnlm.autoconfig",
    "sacrebleu",
    "scipy.spatial",
    "scipy.stats",
    "spellchecker",
    "torch._dynamo",
):
    importlib.import_module(name)
