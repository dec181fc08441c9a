"""A view of MLflow's list of runs, with the columns that a reviewer needs.

MLflow stores a shared view as a tag of the experiment; an address with its key opens the view.
"""

import json

from mlflow.tracking import MlflowClient

MODEL_TRAINING = "workflowType=machine_learning"
"""Part of an address; without it, MLflow opens its GenAI view."""
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
    """Return the page of an experiment's runs, relative to the server's address.

    The view is added to the experiment if it is missing.
    """
    view = json.dumps(_VIEW)
    if client.get_experiment(experiment_id).tags.get(_TAG) != view:
        client.set_experiment_tag(experiment_id, _TAG, view)
    return f"/#/experiments/{experiment_id}/runs?viewStateShareKey={_KEY}&{MODEL_TRAINING}"


def run_page(experiment_id: str, run_id: str) -> str:
    """Return the page of a run, relative to the server's address."""
    return f"/#/experiments/{experiment_id}/runs/{run_id}?{MODEL_TRAINING}"


def model_page(name: str, version: int | None = None) -> str:
    """Return the page of a model or of one of its versions, relative to the server's address."""
    place = f"{name}/versions/{version}" if version else name
    return f"/#/models/{place}?{MODEL_TRAINING}"
