"""Log generated texts to MLflow.

Samples are logged to the MLflow run of the training. Each data set that `rnnlm generate` produces
has a separate run.
"""

import re
from datetime import datetime
from pathlib import Path
from typing import Any

from filelock import FileLock
from mlflow.entities import Metric, Param, Run
from mlflow.tracking import MlflowClient

from flows.runtime import locks
from flows.runtime.home import Home
from flows.tracking.connecting import connect, data_sets_of, experiment_id, now
from flows.tracking.runs import link_prefect_to, prefect_tags
from flows.tracking.views import run_page
from rnnlm.audit.card import CARD_FILE, without_front_matter
from rnnlm.config import Experiment, GenerationConfig, override
from rnnlm.generation.job_folder import MANIFEST_FILE
from rnnlm.generation.manifest import TextDataSet
from rnnlm.visible import visible, visible_line

TEXTS_TAG = "mlflow.rnnlm.texts"  # MLflow's pages hide tags that begin with mlflow.
"""Tag of a run that holds the digest of a data set, set once everything is logged."""
BEGUN_TAG = "mlflow.rnnlm.texts_begun"
"""Tag of a run that holds the digest of the data set for which the run was created."""
KIND_TAG = "rnnlm.kind"
SAMPLE_TEMPERATURES = (0.5, 0.8, 1.1)
SAMPLE_COUNT = 20
SAMPLE_TOKENS = 800


def log_texts(
    home: Home, run_id: str, experiment: Experiment, checkpoint_path: Path, texts: TextDataSet
) -> None:
    """Log sampled texts to the MLflow run of the training that made the model.

    Logged are the figures, card, pages and manifest of a data set, and short samples at three
    temperatures. This does nothing if the run already has this data set.

    Args:
        home: Home whose MLflow store holds the run.
        run_id: Id of the MLflow run.
        experiment: Settings of the training.
        checkpoint_path: Checkpoint of the model that writes the short samples.
        texts: The data set.
    """
    client = connect(home)
    if client.get_run(run_id).data.tags.get(TEXTS_TAG) == texts.digest:
        return
    from rnnlm import checkpoint  # noqa: PLC0415 - these import torch
    from rnnlm.engine.drawing import sample_texts  # noqa: PLC0415

    _log_data_set(client, run_id, texts)
    loaded = checkpoint.load(checkpoint_path)
    for temperature in SAMPLE_TEMPERATURES:
        changes = {
            "temperature": temperature,
            "count": SAMPLE_COUNT,
            "top_k": 0,
            "top_p": 1.0,
            "max_length": min(SAMPLE_TOKENS, experiment.generation.max_length),
        }
        sampled = sample_texts(loaded, override(experiment.generation, changes))
        between = "\n\n⁂\n\n" if any("\n" in text.text for text in sampled) else "\n"
        page = between.join(text.text for text in sampled) + "\n"
        client.log_text(run_id, visible(page), f"samples/temperature-{temperature}.txt")
    client.set_tag(run_id, TEXTS_TAG, texts.digest)


def log_generation(
    home: Home,
    name: str,
    version: int,
    run_id: str,
    texts: TextDataSet,
    config: GenerationConfig,
    folder: Path | None = None,
) -> str:
    """Create an MLflow run for a generated data set, and return the run's id.

    The run is in an MLflow experiment of its own, so that data sets do not mix with training
    runs. If the data set has a run already, because it was requested before, the id of that run is
    returned. If an earlier process was killed before everything was logged to the run, the run is
    completed.

    Args:
        home: Home whose MLflow store is used.
        name: Name of the model.
        version: Number of the version that wrote the texts.
        run_id: Id of the MLflow run of the training that made the version.
        texts: The generated data set.
        config: Settings of the generation.
        folder: Folder with the data set's card and pages, if it is not `texts.uri`.
    """
    client = connect(home)
    place = experiment_id(client, home, data_sets_of(name))
    trainings = client.get_experiment_by_name(name)  # where earlier versions logged data sets
    places = [place, *([trainings.experiment_id] if trainings else [])]
    with FileLock(locks.registering(home)):
        own = _find_generation(client, places, TEXTS_TAG, texts.digest)
        if own is not None:
            return str(own.info.run_id)
        own = _find_generation(client, places, BEGUN_TAG, texts.digest)
        if own is None:
            own = _create_generation(client, place, name, version, run_id, texts)
        number = str(own.info.run_id)
        values = {key: str(value)[:500] for key, value in config.model_dump().items()}
        params = [Param(k, value) for k, value in values.items() if k not in own.data.params]
        client.log_batch(number, params=params)
        _log_data_set(client, number, texts, folder)
        link_prefect_to(client, number)
        client.set_tag(number, TEXTS_TAG, texts.digest)
        client.set_terminated(number, "FINISHED")
    return number


def _find_generation(client: MlflowClient, places: list[str], tag: str, digest: str) -> Run | None:
    """Return the run of a generated data set among the runs of MLflow experiments, if any.

    Args:
        client: Client of the MLflow store.
        places: Ids of the MLflow experiments.
        tag: Tag that holds the digest: `TEXTS_TAG` of a complete run, or `BEGUN_TAG`.
        digest: Digest of the data set.
    """
    condition = f"tags.`{tag}` = '{digest}' and tags.`{KIND_TAG}` = 'generation'"
    found = client.search_runs(places, condition, max_results=1)
    return found[0] if found else None


def _create_generation(
    client: MlflowClient, place: str, name: str, version: int, run_id: str, texts: TextDataSet
) -> Run:
    """Create the run of a generated data set, with tags only.

    Args:
        client: Client of the MLflow store.
        place: Id of the MLflow experiment.
        name: Name of the model.
        version: Number of the version that wrote the texts.
        run_id: Id of the MLflow run of the training that made the version.
        texts: The generated data set.
    """
    trained = client.get_run(run_id)
    tags = {
        KIND_TAG: "generation",
        BEGUN_TAG: texts.digest,
        "rnnlm.model_version": f"{name}/{version}",
        "rnnlm.model_run": run_id,
        "rnnlm.data_set": texts.uri,
        "rnnlm.corpus": trained.data.tags.get("rnnlm.corpus", ""),
        "mlflow.note.content": (
            f"**{texts.count:,} texts** of {name}/{version}, trained by run "
            f"[{trained.info.run_name}]({run_page(trained.info.experiment_id, run_id)[1:]}), "
            f"in `{visible_line(texts.uri)}`."
        ),
        **prefect_tags(),
    }
    title = f"{name}/{version} · {texts.count:,} texts · {datetime.now():%Y-%m-%d %H:%M:%S}"
    return client.create_run(place, tags=tags, run_name=title)


def _log_data_set(
    client: MlflowClient, run_id: str, texts: TextDataSet, folder: Path | None = None
) -> None:
    """Log a data set's figures, card (`README.md`), pages, pictures and manifest to a run."""
    figures: dict[str, Any] = {
        "texts": texts.count,
        "drawn": texts.drawn,
        "characters": texts.characters,
        "duplicate_share": texts.audit.duplicate_share,
        **{k: v for k, v in texts.audit.generated.model_dump().items() if not isinstance(v, dict)},
    }
    if (disclosed := texts.audit.generated.disclosed) is not None:
        figures |= {
            name: value for name, value in disclosed.model_dump().items() if isinstance(value, int)
        }
        figures |= {f"canaries_planted_{n}": times for n, times in disclosed.canaries.items()}
    metrics = [
        Metric(f"generated/{name}", float(value), now(), 0)
        for name, value in figures.items()
        if value is not None
    ]
    client.log_batch(run_id, metrics=metrics)
    place = folder or Path(texts.uri)
    for name in (MANIFEST_FILE, *texts.pages):
        if (path := place / name).is_file():
            client.log_artifact(run_id, str(path), "generated")
    if (card := place / CARD_FILE).is_file():
        client.log_text(run_id, _as_shown(card.read_text("utf-8")), f"generated/{CARD_FILE}")


def _as_shown(card: str) -> str:
    """Return a card as MLflow's viewer can show it: without its metadata, pictures and links.

    The viewer shows no pictures in Markdown, and it would look for the pages on the server.
    """
    named = re.sub(r"!\[([^\]]*)\]\(([\w.]+)\)", r"\1: `\2`, next to this file.", card)
    named = re.sub(r"\[([^\]]*)\]\(([\w]+\.html)\)", r"\1: `\2`", named)
    return without_front_matter(named)
