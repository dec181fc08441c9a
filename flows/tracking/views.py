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
_WIDTHS = {
    "attributes.`Run Name`": 310,
    "runDateAndNestInfo": 160,
    "tags.`rnnlm.alias`": 110,
    "metrics.`test/bits_per_character`": 190,
    "tags.`rnnlm.verdict`": 460,
    "tags.`changed.settings`": 460,
    "tags.`changed.data`": 460,
    "tags.`changed.code`": 220,
    "metrics.`test/ngram_bits_per_character`": 230,
    "metrics.`generated/valid_share`": 170,
    "tags.`rnnlm.trigger`": 120,
    "tags.`rnnlm.start`": 420,
    "duration": 90,
}
"""Width of each column in pixels, in the order in which the columns are shown. MLflow's own width
cuts names and numbers."""
_DATA_SET_WIDTHS = {
    "attributes.`Run Name`": 320,
    "runDateAndNestInfo": 160,
    "tags.`rnnlm.model_version`": 180,
    "metrics.`generated/texts`": 140,
    "metrics.`generated/valid_share`": 180,
    "metrics.`generated/copied_share`": 180,
    "metrics.`generated/duplicate_share`": 210,
    "params.`temperature`": 120,
    "params.`seed`": 110,
    "tags.`rnnlm.data_set`": 560,
    "duration": 90,
}
"""As `_WIDTHS`, for the list of data sets."""


def runs_page(client: MlflowClient, experiment_id: str) -> str:
    """Return the address, relative to the server, of the list of an experiment's training runs.

    The address opens this module's view, which is added to the experiment if it is missing.
    """
    return _list_page(client, experiment_id, _WIDTHS)


def data_sets_page(client: MlflowClient, experiment_id: str) -> str:
    """Return the address of the page that lists a model's data sets, relative to the server.

    The address opens this module's view, which is added to the experiment if it is missing.
    """
    return _list_page(client, experiment_id, _DATA_SET_WIDTHS)


def _list_page(client: MlflowClient, experiment_id: str, widths: dict[str, int]) -> str:
    """Return the address of a list of runs, and keep its view in the experiment.

    Args:
        client: Client of the MLflow store.
        experiment_id: Id of the MLflow experiment.
        widths: Width of each column in pixels, in the order of the columns.
    """
    chosen = [name for name in widths if name.startswith(("tags", "metrics", "params"))]
    view = json.dumps(
        {
            "searchFilter": "",
            "orderByKey": "attributes.start_time",
            "orderByAsc": False,
            "startTime": "ALL",
            "lifecycleFilter": "Active",
            "datasetsFilter": [],
            "modelVersionFilter": "All Runs",
            "selectedColumns": chosen,
            "columnOrder": [*widths],
            "columnWidths": widths,
        }
    )
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
