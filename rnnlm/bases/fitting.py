"""Fit an experiment to its base, whose network and tokenizer it continues."""

from pathlib import Path

from rnnlm.config import Experiment
from rnnlm.errors import CheckpointError
from rnnlm.header import load_description

NO_BASE = "none"
NETWORK = (
    "architecture",
    "embedding_size",
    "hidden_size",
    "num_layers",
    "last_size",
    "tie_weights",
    "learned_start",
    "nonlinearity",
    "mogrifier_rounds",
    "convolution",
    "mlp_ratio",
)
"""Settings of `model` that decide the shapes of the weights."""


def fit(experiment: Experiment, path: Path) -> Experiment:
    """Return the experiment with unset settings taken from its base.

    Settings that decide the network's shapes are taken from the base if they are not set. The
    base's tokenizer is used if no tokenizer is set.

    Args:
        experiment: An experiment that names a base.
        path: The base's checkpoint.

    Raises:
        CheckpointError: The base cannot be read or has no weights to start from, or the experiment
            sets a different network.
    """
    base = load_description(path).experiment
    if base.model.architecture == "ngram":
        raise CheckpointError(f"{path} holds n-grams; expected a network to start training from")
    model, given = experiment.model, experiment.model.model_fields_set
    own = {name: getattr(base.model, name) for name in NETWORK if name not in given}
    fitted = model.model_copy(update=own)
    for name in NETWORK:
        if getattr(fitted, name) != getattr(base.model, name):
            raise CheckpointError(
                f"model.{name} = {getattr(fitted, name)}, but the base {experiment.training.base} "
                f"has {getattr(base.model, name)}; leave it out, or set training.base = 'none'"
            )
    update: dict[str, object] = {"model": fitted}
    if not experiment.tokenizer.model_fields_set:
        update["tokenizer"] = experiment.tokenizer.model_copy(update={"kind": "base"})
    return experiment.model_copy(update=update)
