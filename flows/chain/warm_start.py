"""Choose the initial weights of a training run: the champion's, a base's, or random ones.

The champion's weights are used if only the corpus has changed since the champion was trained.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows import registry
from flows.registry import CHAMPION, Version, bases
from flows.runtime.home import Home
from rnnlm import dataset
from rnnlm.config import Experiment, TrainingConfig
from rnnlm.corpora.ingestion import Corpus
from rnnlm.dataset import Tokens
from rnnlm.errors import RegistryError, RnnlmError
from rnnlm.header import load_description
from rnnlm.storage import value_digest

LATER = ("canaries", "reduce_precision")
"""Settings of training that were added after the first homes were written."""


@dataclass(frozen=True)
class Start:
    """The initial weights of a training run.

    Attributes:
        digest: sha256 of the checkpoint that holds the weights; None for random weights.
        why: Where the weights come from and why, in a few words.
        is_settled: Whether these weights are used without a comparison with random weights, because
            they are the base's or because a version with the same recipe (see `recipe`) was trained
            from them.
        is_notable: Whether the line about the training mentions where the weights come from.
    """

    digest: str | None
    why: str
    is_settled: bool = False
    is_notable: bool = False


def way_of_training(experiment: Experiment) -> dict[str, Any]:
    """Return the training settings without the name of the base.

    Keys of training steps, and recipes, contain the digest of a checkpoint instead. The settings in
    `LATER` are left out if they have their defaults, so that keys from before they existed still
    match.
    """
    way = experiment.training.model_dump(exclude={"base"})
    defaults = {name: TrainingConfig.model_fields[name].default for name in LATER}
    return {name: way[name] for name in way if name not in LATER or way[name] != defaults[name]}


def recipe(experiment: Experiment, tokens: Tokens, base: str | None) -> str:
    """Return a model's recipe: a digest of what determines the model, apart from a champion.

    The recipe covers the tokens, the network, the training settings and the base. It does not cover
    whether training started from a champion's weights.

    Args:
        experiment: Configuration that it is trained with.
        tokens: Tokens that it is trained on.
        base: sha256 of its base; None for none.
    """
    made_of = [tokens.digest, experiment.model.model_dump(), way_of_training(experiment)]
    return value_digest([*made_of, base] if base else made_of)


def choose_start(home: Home, experiment: Experiment, corpus: Corpus, tokens: Tokens) -> Start:
    """Return the initial weights for a training run.

    They are the first available of these: those that the newest version with the same recipe
    started from; the champion's, if nothing rules them out; the base's; random weights.
    """
    if experiment.model.architecture == "ngram":
        return Start(None, "from nothing: n-grams are counted")
    base = bases.find(home, experiment)
    made_of = recipe(experiment, tokens, base.digest if base else None)
    again = registry.newest(home, experiment.name, made_of)
    if again is not None:
        return Start(again.started_from or None, f"as version {again.version}", is_settled=True)
    champion = registry.by_alias(home, experiment.name, CHAMPION)
    hindrance = _hindrance(home, champion, experiment, corpus, tokens)
    if champion is not None and hindrance is None:
        why = f"from champion {champion.version}'s weights"
        return Start(champion.checkpoint, why, is_notable=True)
    if base is None:
        return Start(None, f"from nothing: {hindrance}")
    return Start(
        base.digest, f"from base {base.name}: {hindrance}", is_settled=True, is_notable=True
    )


def start_of_trials(home: Home, experiment: Experiment) -> Start:
    """Return the initial weights of all trials of a sweep: the base's, or random ones."""
    base = bases.find(home, experiment)
    if base is None:
        return Start(None, "from nothing, as all trials of a sweep")
    return Start(base.digest, f"from base {base.name}, as all trials of a sweep", is_settled=True)


def weights_of(home: Home, experiment: Experiment, digest: str) -> Path:
    """Return the path of the checkpoint with the initial weights of a training run.

    Args:
        home: Home that holds the models.
        experiment: Configuration of the training.
        digest: sha256 of the checkpoint, which is the base's or that of a version of the model.

    Raises:
        RegistryError: No version holds the checkpoint, or its files are missing.
    """
    base = bases.find(home, experiment)
    if base is not None and base.digest == digest:
        return base.path
    version = registry.find(home, experiment.name, digest)
    if version is None:
        raise RegistryError(
            f"no version of {experiment.name} holds the checkpoint {digest[:12]} that this "
            "training started from; set retraining.start = 'nothing'"
        )
    return registry.checkpoint_path(home, version)


def _hindrance(
    home: Home, champion: Version | None, experiment: Experiment, corpus: Corpus, tokens: Tokens
) -> str | None:
    """Return why a training run cannot start from the champion's weights, or None if it can."""
    if experiment.retraining.start == "nothing":
        return "as configured"
    if champion is None:
        return "no champion yet"
    if champion.corpus_digest == corpus.digest:
        return "the corpus is the champion's"
    try:
        found = load_description(registry.checkpoint_path(home, champion))
    except RnnlmError as error:
        return f"champion {champion.version} cannot be read ({error})"
    before = found.experiment
    if before.model != experiment.model:
        return "the network differs from the champion's"
    if before.training.canaries != experiment.training.canaries:
        return "the canaries differ from the champion's"
    if before.corpus.condition != experiment.corpus.condition:
        return "the attributes differ from the champion's"
    if found.tokenizer.to_json() != dataset.load_tokenizer(tokens.uri).to_json():
        return "the vocabulary differs from the champion's"
    return None
