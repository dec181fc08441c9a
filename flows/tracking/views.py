"""Addresses of MLflow's pages, and a view of its list of runs with the columns a reviewer needs.

MLflow stores such a view as a tag of the experiment. An address that contains the view's key opens
the list in this view.
"""

import json

from mlflow.tracking import MlflowClient

MODEL_TRAINING = "workflowType=machine_learning"
"""Part of the address of a page; without it, MLflow shows its pages for GenAI applications."""
_KEY = "rnnlm"
_TAG = f"mlflow.sharedViewState.{_KEY}"
_COLUMNS = (
    "metrics.`test/bits_per_character`",
    "metrics.`test/ngram_bits_per_character`",
    "metrics.`generated/valid_share`",
    "tags.`rnnlm.verdict`",
    "tags.`rnnlm.version`",
    "tags.`rnnlm.trigger`",
    "tags.`rnnlm.start`",
)
_VIEW = {
    "searchFilter": "",
    "orderByKey": "attributes.start_time",
    "orderByAsc": False,
    "startTime": "ALL",
    "lifecycleFilter": "Active",
    "datasetsFilter": [],
    "modelVersionFilter": "All Runs",
    "selectedColumns": _COLUMNS,
}


def runs_page(client: MlflowClient, experiment_id: str) -> str:
    """Return the address of the page that lists an experiment's runs, relative to the server.

    The address opens this module's view, which is added to the experiment if it is missing.
    """
    view = json.dumps(_VIEW)
    if client.get_experiment(experiment_id).tags.get(_TAG) != view:
        client.set_experiment_tag(experiment_id, _TAG, view)
    return f"/#/experiments/{experiment_id}/runs?viewStateShareKey={_KEY}&{MODEL_TRAINING}"


def run_page(experiment_id: str, run_id: str) -> str:
    """Return the address of a run's page, relative to the server."""
    return f"/#/experiments/{experiment_id}/runs/{run_id}?{MODEL_TRAINING}"


def model_page(name: str, version: int | None = None) -> str:
    """Return the address of the page of a model or of a version, relative to the server.

    Args:
        name: Name of the model.
        version: Number of the version; None for the page of the model.
    """
    place = f"{name}/versions/{version}" if version else name
    return f"/#/models/{place}?{MODEL_TRAINING}"
