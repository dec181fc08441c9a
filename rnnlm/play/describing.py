"""Describe a model for its web page: what it is, how it draws, and the tables of its tokenizer."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np

from rnnlm.checkpoint import LoadedModel
from rnnlm.config import Experiment, GenerationConfig
from rnnlm.constraints import compile_constraints
from rnnlm.corpora.catalog import catalog
from rnnlm.engine.packing import can_pack
from rnnlm.errors import GenerationError, TokenizerError
from rnnlm.generation.prompt import open_texts
from rnnlm.play.arrays import Arrays, network_arrays
from rnnlm.tokenizer import Tokenizer

FULL_PAGE = 2400
"""Most characters that the page writes at one press of a button, if each text has the greatest
length. This sets the number of texts, from one to `MOST_TEXTS`."""
MOST_TEXTS, WORD_CHARACTERS = 24, 6
_DRAWN_BY = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty")
_KINDS = {
    "character": "characters",
    "byte": "bytes",
    "word": "words",
    "bpe": "word pieces",
}


@dataclass(frozen=True)
class Named:
    """What a page calls its model.

    Attributes:
        name: The page's title.
        reference: What `rnnlm generate` calls the model; empty if it is not registered.
        bits_per_character: Its score on held-out text; None if it is not known.
    """

    name: str
    reference: str = ""
    bits_per_character: float | None = None


def describe(loaded: LoadedModel, named: Named) -> tuple[dict[str, Any], Arrays]:
    """Return what the page must know about a model, as a value for JSON and as arrays.

    Args:
        loaded: The model; not modified.
        named: What the page calls the model.

    Raises:
        GenerationError: The model cannot be packed.
        CheckpointError: A weight is not a finite number.
        ConstraintError: No text can satisfy the model's own constraints.
    """
    experiment, config = loaded.experiment, loaded.experiment.generation
    if not can_pack(loaded.model):
        raise GenerationError(
            f"{named.name} is a model of kind {experiment.model.architecture}, which the web page "
            "cannot run (expected an LSTM, GRU or simple RNN whose vocabulary is not too large); "
            "choose another model"
        )
    opening = open_texts(experiment, config)
    automaton = compile_constraints(
        loaded.tokenizer,
        grammar=opening.grammar,
        banned=config.banned,
        stop=config.stop,
        prefixes=(opening.header,),
        min_length=config.min_length,
        max_length=config.max_length,
    )
    network, arrays = network_arrays(loaded.model, loaded.tokenizer.unknown_id)
    if automaton is not None:
        arrays |= {"successors": automaton.successors, "distance": automaton.distance}
    lengths = ("min_length", "max_length")
    facts = dict(_facts(loaded, named))
    description = {
        "reference": "" if _refuses_texts(config) else named.reference,
        "summary": " · ".join(
            (facts["network"], facts["vocabulary"], f"trained on {facts['trained on']}")
        ),
        "facts": [*facts.items()],
        "form": experiment.corpus.form,
        "attributes": opening.condition,
        "missing": opening.missing,
        "header": opening.header,
        "prefix": unicodedata.normalize("NFC", config.prefix),
        "seed": str(config.seed),
        "texts": _texts_at_once(loaded),
        "sampling": {name: getattr(config, name) for name in (*_DRAWN_BY, *lengths)},
        "stop": config.stop,
        "constrained": automaton is not None,
        "tokenizer": tokenizer_tables(loaded.tokenizer),
        "network": network,
    }
    return description, arrays


def tokenizer_tables(tokenizer: Tokenizer) -> dict[str, Any]:
    """Return a tokenizer as the classes in web/tokenizers.js take it.

    That is what `to_json` returns, except for byte-pair encoding: each token is a string with a
    character (U+0000 to U+00FF) for each byte, and each merge is the ids of its two tokens and of
    the token that they become, all end to end, in the order in which merges were learnt.
    """
    if tokenizer.kind != "bpe":
        return tokenizer.to_json()
    model = tokenizer.to_json()["library"]["model"]
    ids = model["vocab"]
    pairs = (merge if isinstance(merge, list) else merge.split(" ") for merge in model["merges"])
    merges = [ids[token] for left, right in pairs for token in (left, right, left + right)]
    tokens = [spelled.decode("latin-1") for spelled in tokenizer.token_bytes()]
    return {"kind": "bpe", "tokens": tokens, "merges": merges}


def _texts_at_once(loaded: LoadedModel) -> int:
    """Return how many texts of a model's greatest length fill the page; see `FULL_PAGE`."""
    try:
        sizes = [len(spelled) for spelled in loaded.tokenizer.token_bytes()]
    except TokenizerError:  # words whose spaces depend on their neighbours
        sizes = [WORD_CHARACTERS]
    longest = loaded.experiment.generation.max_length * float(np.mean(sizes))
    return int(min(MOST_TEXTS, max(1, FULL_PAGE // longest)))


def _facts(loaded: LoadedModel, named: Named) -> Iterator[tuple[str, str]]:
    """Yield facts about a model, as names and values to show."""
    experiment, tokenizer = loaded.experiment, loaded.tokenizer
    yield "model", named.reference or named.name
    count = loaded.model.parameter_count
    yield "network", f"{experiment.model.title}, {count:,} parameters"
    yield "weights", "rounded to 8 bits; all sums are exact integers"
    yield "vocabulary", f"{tokenizer.vocab_size:,} {_KINDS.get(tokenizer.kind, tokenizer.kind)}"
    yield "trained on", _source(experiment)
    bits = named.bits_per_character or loaded.facts.get("test_bits_per_character")
    where = "held-out text" if bits else "validation text"
    bits = bits or loaded.facts.get("bits_per_character")
    if bits:
        yield "score", f"{bits:.3f} bits per character of {where}; lower is better"
    entry = catalog().get(experiment.corpus.source)
    yield "licence of its text", entry.licence if entry else "not recorded; ask whoever trained it"
    if experiment.training.base != "none":
        yield "started from", f"the base {experiment.training.base}"
    yield "made with", f"rnnlm {version('rnnlm')}"


def _refuses_texts(config: GenerationConfig) -> bool:
    """Return whether `rnnlm generate` would leave out some of the texts that the model draws."""
    filters = (config.unique, config.compares, config.valid_only)
    return any(filters) or bool(config.required) or config.best_of > 1


def _source(experiment: Experiment) -> str:
    """Return what a model was trained on, without the folders of a path."""
    corpus = experiment.corpus
    if entry := catalog().get(corpus.source):
        return entry.description
    sources = [corpus.source] if corpus.source else [source.path for source in corpus.all_sources]
    return ", ".join(dict.fromkeys(source.rstrip("/").rsplit("/", 1)[-1] for source in sources))
