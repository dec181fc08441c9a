"""How MLflow's pages show a list of runs: a view with the columns that answer a reviewer.

MLflow keeps a view that is shared as a tag of the experiment; an address with its key opens it.
"""

import json

from mlflow.tracking import MlflowClient

MODEL_TRAINING = "workflowType=machine_learning"
"""In an address: else MLflow opens in its GenAI view."""
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
    """Return where an experiment's runs are shown, after the server's address.

    The experiment is given the view if it lacks it.
    """
    view = json.dumps(_VIEW)
    if client.get_experiment(experiment_id).tags.get(_TAG) != view:
        client.set_experiment_tag(experiment_id, _TAG, view)
    return f"/#/experiments/{experiment_id}/runs?viewStateShareKey={_KEY}&{MODEL_TRAINING}"


def run_page(experiment_id: str, run_id: str) -> str:
    """Return where a run is shown, after the server's address."""
    return f"/#/experiments/{experiment_id}/runs/{run_id}?{MODEL_TRAINING}"


def model_page(name: str, version: int | None = None) -> str:
    """Return where a model or one of its versions is shown, after the server's address."""
    place = f"{name}/versions/{version}" if version else name
    return f"/#/models/{place}?{MODEL_TRAINING}"
