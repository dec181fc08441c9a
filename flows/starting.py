"""Which weights a training begins with: the champion's where the corpus has changed alone."""

from dataclasses import dataclass
from pathlib import Path

from flows import registry, steps
from flows.home import Home
from flows.registry import CHAMPION, Version
from rnnlm import checkpoint, dataset
from rnnlm.config import Experiment
from rnnlm.corpora.ingestion import Corpus
from rnnlm.dataset import Tokens
from rnnlm.errors import RegistryError, RnnlmError


@dataclass(frozen=True)
class Start:
    """What a training begins with.

    Attributes:
        digest: sha256 of the checkpoint whose weights it takes; None for random ones.
        why: In a few words.
        is_settled: Whether a version of this recipe stands already, and began so.
        is_told: Whether to say so wherever the training is told of.
    """

    digest: str | None
    why: str
    is_settled: bool = False
    is_told: bool = False


def choose_start(home: Home, experiment: Experiment, corpus: Corpus, tokens: Tokens) -> Start:
    """Return what a training of this corpus begins with."""
    if experiment.retraining.start == "nothing" or experiment.model.architecture == "ngram":
        return Start(None, "from nothing, as configured")
    again = registry.newest(home, experiment.name, steps.recipe(experiment, tokens))
    if again is not None:
        return Start(again.started_from or None, f"as version {again.version}", is_settled=True)
    champion = registry.by_alias(home, experiment.name, CHAMPION)
    if champion is None:
        return Start(None, "from nothing: no champion yet")
    if champion.corpus_digest == corpus.digest:
        return Start(None, "from nothing: the corpus is the champion's")
    if hindrance := _hindrance(home, champion, experiment, tokens):
        return Start(None, f"from nothing: {hindrance}")
    why = f"from champion {champion.version}'s weights"
    return Start(champion.checkpoint, why, is_told=True)


def weights_of(home: Home, name: str, digest: str) -> Path:
    """Return the path of the checkpoint that a training begins with.

    Raises:
        RegistryError: No version holds it, or its files are gone.
    """
    version = registry.find(home, name, digest)
    if version is None:
        raise RegistryError(
            f"no version of {name} holds the checkpoint {digest[:12]} that this training began "
            "with; set retraining.start = 'nothing'"
        )
    return registry.checkpoint_path(home, version)


def _hindrance(home: Home, champion: Version, experiment: Experiment, tokens: Tokens) -> str | None:
    """Say why the champion's weights do not fit, or None."""
    try:
        before, vocabulary = checkpoint.load_description(registry.checkpoint_path(home, champion))
    except RnnlmError as error:
        return f"champion {champion.version} cannot be read ({error})"
    if before.model != experiment.model:
        return "another network than the champion's"
    if before.corpus.condition != experiment.corpus.condition:
        return "told other attributes than the champion"
    if vocabulary.to_json() != dataset.load_tokenizer(tokens.uri).to_json():
        return "another vocabulary than the champion's"
    return None
