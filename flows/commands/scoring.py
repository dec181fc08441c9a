"""Score a registered model on its test split or on any text, and compare it with n-gram models."""

from dataclasses import dataclass
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np

from flows.chain.mending import mend_inputs
from flows.registry import Version, bases, checkpoint_path
from flows.runtime.home import Home
from rnnlm import checkpoint, dataset, tokenizer
from rnnlm.checkpoint import LoadedModel
from rnnlm.conditioning import header, iter_with_headers
from rnnlm.config import CorpusConfig, ModelConfig, TokenizerConfig
from rnnlm.devices import choose_device
from rnnlm.errors import ConfigError
from rnnlm.evaluation.adaptive import Cache, Dynamic, evaluate_dynamically, evaluate_with_cache
from rnnlm.evaluation.contamination import trained_on
from rnnlm.evaluation.held_out import figures_beside
from rnnlm.evaluation.reading import read_text
from rnnlm.evaluation.results import Evaluation
from rnnlm.evaluation.scoring import evaluate
from rnnlm.models.ngram import NGramLanguageModel
from rnnlm.overlap import unread
from rnnlm.progress import OnProgress
from rnnlm.tokenizer import Tokenizer
from rnnlm.tokens import TokenArrays

MOST_CHARACTERS = 50_000_000
"""N-gram models and dynamic evaluation use at most about this many characters of training text."""


@dataclass(frozen=True)
class Scored:
    """Scores that a model and two n-gram models reach on the same text.

    Attributes:
        what: Short description of the text.
        documents: Number of documents in the text.
        evaluation: Score of the model.
        own: Score of an n-gram model that uses the same tokenizer as the model; None if the
            model's training text is missing.
        characters: Score of an n-gram model of characters; None if the model's training text is
            missing.
        trained_on: Number of documents of a user's text that the model was trained on.
    """

    what: str
    documents: int
    evaluation: Evaluation
    own: Evaluation | None
    characters: Evaluation | None
    trained_on: int

    def figures(self) -> dict[str, int | float]:
        """Return the model's score, its 95% interval and the n-gram models' scores, by name.

        Each name contains the unit, such as `bits_per_character`.
        """
        return figures_beside(self.evaluation, self.own, self.characters)


def choose_adaptation(
    dynamic: bool,
    rate: float | None,
    decay: float | None,
    cache: int,
    weight: float | None,
    flatness: float | None,
) -> Dynamic | Cache | None:
    """Return how a model adapts to the text while it is scored, or None if it does not adapt.

    Args:
        dynamic: Whether to update the weights by gradient descent on the text scored so far.
        rate: Learning rate of the updates; None for the default.
        decay: How strongly the weights are pulled back to the trained ones; None for the default.
        cache: Number of past steps to keep in a cache of hidden states; 0 for no cache.
        weight: Share of the cache in the predicted probabilities; None for the default.
        flatness: Factor on the similarities of hidden states; None for the default.

    Raises:
        ConfigError: Both dynamic evaluation and a cache are requested, or a setting is given for
            the one that is not requested.
    """
    if dynamic and cache:
        raise ConfigError("--dynamic and --cache are two ways to adapt; choose one")
    of_dynamic, of_cache = {"rate": rate, "decay": decay}, {"weight": weight, "flatness": flatness}
    for settings, way, is_asked in ((of_dynamic, "dynamic", dynamic), (of_cache, "cache", cache)):
        for name, value in settings.items():
            if value is not None and not is_asked:
                raise ConfigError(f"--{name} needs --{way}, which is not given")
    if dynamic:
        return Dynamic(**{k: v for k, v in of_dynamic.items() if v is not None})
    if cache:
        return Cache(cache, **{k: v for k, v in of_cache.items() if v is not None})
    return None


def score(
    home: Home,
    version: Version,
    text: Path | None,
    adaptation: Dynamic | Cache | None,
    on_progress: OnProgress,
) -> Scored:
    """Score a version of a model.

    Documents that the model's base (the pretrained model it was trained from) has read are left
    out.

    Args:
        home: The home that holds the checkpoint and the corpora.
        version: Version to score.
        text: A file to score instead of the test split. If the model expects attribute values
            before each text, they are empty. None scores the test split.
        adaptation: How the model adapts to the text that it reads; None for not at all.
        on_progress: Called with the number of tokens scored.

    Raises:
        ConfigError: The model's corpus, which holds the test split, or its training text, which
            dynamic evaluation needs, is missing.
        CorpusError: The text cannot be read, or the version's corpus or n-gram model is damaged and
            cannot be rebuilt.
    """
    loaded = checkpoint.load(checkpoint_path(home, version), choose_device())
    mend_inputs(home, version, loaded.experiment)
    config = loaded.experiment.corpus
    if text is None and not Path(version.corpus_uri).is_dir():
        raise ConfigError(
            f"the corpus of {version.name}/{version.version}, with its test split, is not in this "
            "home; score another text with --text FILE, or train on the corpus"
        )
    if text is None:
        documents = [*iter_with_headers(version.corpus_uri, "test", config.condition)]
    else:
        documents = [*read_text(text, config, home.sources)]
    what = "its test split" if text is None else str(text)
    base = bases.find(home, loaded.experiment)
    if base is not None:
        kept = unread(documents, base.windows, f"base {base.name}")
        if not kept.all():
            what += f" without {np.count_nonzero(~kept):,} documents that base {base.name} has read"
            documents = [*compress(documents, kept)]
    arrays = dataset.from_texts(loaded.tokenizer, documents)
    texts = _training_text(loaded, version)
    train = dataset.from_texts(loaded.tokenizer, texts) if texts else None
    unknown = loaded.tokenizer.lost_id
    if isinstance(adaptation, Dynamic):
        if train is None:
            raise ConfigError(
                f"--dynamic needs the training text of {version.name}, but {version.corpus_uri} "
                f"is missing; run `rnnlm train` again"
            )
        result = evaluate_dynamically(loaded.model, arrays, train, adaptation, unknown, on_progress)
    elif adaptation:
        result = evaluate_with_cache(loaded.model, arrays, adaptation, unknown, on_progress)
    else:
        result = evaluate(loaded.model, arrays, unknown, on_progress)
    own = _ngrams(loaded.tokenizer, train, arrays) if train is not None else None
    characters = own
    if train is not None and loaded.tokenizer.kind != "character":
        spelling = tokenizer.learn(TokenizerConfig(kind="character"), texts)
        both = (dataset.from_texts(spelling, part) for part in (texts, documents))
        characters = _ngrams(spelling, *both)
    known = 0 if text is None or not texts else _count_known(documents, version, config)
    return Scored(what, len(documents), result, own, characters, known)


def _count_known(documents: list[str], version: Version, config: CorpusConfig) -> int:
    """Return how many documents are in the training text of a version."""
    before = len(header({}, config.condition))
    plain = [document[before:] for document in documents]
    return int(trained_on(plain, version.corpus_uri).sum())


def show(scored: Scored, version: Version) -> list[tuple[str, str]]:
    """Return the scores as (name, value) rows to print."""
    figures = scored.figures()
    rows = [("model", f"{version.name}/{version.version}")]
    if scored.trained_on:
        rows.append(
            (
                "warning",
                f"the model was trained on {scored.trained_on:,} of these documents, so this score "
                "is too good; score it on text that it has not seen",
            )
        )
    rows += [
        (
            "text",
            f"{scored.what}, {scored.documents:,} documents, {figures['characters']:,} characters",
        ),
        (
            "characters",
            f"{figures['bits_per_character']:.3f} bits per character, 95% interval "
            f"{figures['bits_per_character_low']:.3f} to {figures['bits_per_character_high']:.3f}",
        ),
        ("bytes", f"{figures['bits_per_byte']:.3f} bits per byte"),
        ("tokens", f"{figures['perplexity']:.2f} perplexity over {figures['tokens']:,} tokens"),
        ("unknown", f"{figures['unknown']:,} tokens that are not in the vocabulary"),
    ]
    if scored.characters is not None:
        rows.append(
            (
                "n-grams",
                f"{figures['ngram_bits_per_character']:.3f} bits per character "
                "with n-grams of characters; "
                f"perplexity {figures['ngram_perplexity']:.2f} "
                "with n-grams of the model's tokens",
            )
        )
    return rows


def as_values(scored: Scored, version: Version, text: Path | None) -> dict[str, Any]:
    """Return the scores as values that can be written as JSON.

    Args:
        scored: The scores.
        version: The version that was scored.
        text: The file that was scored; None for the test split.
    """
    return {
        "model": version.name,
        "version": version.version,
        "text": str(text) if text else None,
        "documents": scored.documents,
        "trained_on": scored.trained_on,
        **scored.figures(),
    }


def _training_text(loaded: LoadedModel, version: Version) -> list[str]:
    """Return documents from the start of the training split, about `MOST_CHARACTERS` in total.

    The list is empty if the corpus is missing.
    """
    if not Path(version.corpus_uri).is_dir():
        return []
    texts, characters = [], 0
    condition = loaded.experiment.corpus.condition
    for text in iter_with_headers(version.corpus_uri, "train", condition):
        texts.append(text)
        characters += len(text)
        if characters > MOST_CHARACTERS:
            break
    return texts


def _ngrams(words: Tokenizer, train: TokenArrays, arrays: TokenArrays) -> Evaluation:
    """Fit an n-gram model to the training text, and return its score on another text.

    Args:
        words: Tokenizer of both texts.
        train: Tokens of the training text.
        arrays: Tokens of the text to score.
    """
    model = NGramLanguageModel(ModelConfig(architecture="ngram"), words.vocab_size)
    model.fit(train)
    return evaluate(model, arrays, words.lost_id)
