"""Choose an experiment, which is the configuration of a whole run, for any text.

Each choice is shown to the user together with the observation behind it, so that a user who
disagrees can override it, for example with `--set model.hidden_size=512`.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from rnnlm.bases.fitting import NETWORK, NO_BASE
from rnnlm.config import Experiment, from_values
from rnnlm.corpora.files import SourceFile
from rnnlm.corpora.preview import Preview, look
from rnnlm.errors import CorpusError
from rnnlm.recipe import BPTT, Seen, choose_recipe
from rnnlm.storage import value_digest

FEWEST_DOCUMENTS = 100
"""Target number of passages. A passage is a document cut from a long text at paragraph borders;
passages are made short enough that the text yields about this many, if possible."""
FEWEST_TO_LEARN_FROM = 20
"""Fewest lines or records on which a model is trained."""
FEWEST_CHARACTERS = 20_000
"""Number of characters of prose below which a warning is shown, because a model of so little text
learns hardly more than some of its words."""
MOST_REPEATED = 0.3
"""Largest share of documents that may be repetitions of others without a warning."""
FEWEST_TO_WRITE_NEW_ONES = 200
"""Number of lines or records below which a warning is shown, because a model of so few mostly
repeats them."""
HELD_OUT = 0.1
"""Share of the text held out for validation; the same share is held out for testing. It does not
depend on the text's size; otherwise text held out now would be trained on once the text has grown.
"""
LONGEST_WHOLE = 1000
"""Largest length, in characters, of lines or records that are fed to the network whole, so that
gradients flow through all of a line. Memory grows with the length."""


@dataclass(frozen=True)
class Choice:
    """One decision: the setting, its value and the reason."""

    setting: str
    value: str
    reason: str


@dataclass(frozen=True)
class Advice:
    """An experiment and the choices that led to it.

    Attributes:
        experiment: The experiment to run.
        choices: The choices, in the order in which they are shown.
        vocab_size: Approximate number of distinct tokens.
        document_tokens: Approximate number of tokens of a typical document.
        documents: Approximate number of documents.
    """

    experiment: Experiment
    choices: tuple[Choice, ...]
    vocab_size: int
    document_tokens: int
    documents: int


def advise(source: str, cache: Path, overrides: tuple[str, ...] = ()) -> Advice:
    """Look at a corpus and choose how to read, clean and tokenize it and how to train on it.

    Args:
        source: A path, or any other value of `corpus.source`.
        cache: Folder for downloaded files.
        overrides: `key=value` settings that take precedence over the choices.

    Raises:
        CorpusError: The corpus has too few documents or cannot be read; see
            `rnnlm.corpora.preview.look`.
        ConfigError: An override is wrong.
    """
    values: dict[str, Any] = {"name": "text", "corpus": {"source": source, "documents": "auto"}}
    given = from_values(values, overrides, origin=source)
    corpus = given.corpus
    seen = look(corpus, cache)
    published = _published_splits(seen.files, given)
    kind = seen.most(lambda file: file.source.documents)
    forms = {file.form for file in seen.files if file.size}
    form = forms.pop() if len(forms) == 1 else "text"
    characters = round(seen.characters * seen.bytes / max(1, seen.read))
    passage = max(100, min(2000, characters // FEWEST_DOCUMENTS))
    is_text = kind == "passages"
    longest = passage if is_text else max(map(len, seen.documents), default=1)
    fits = not is_text and longest <= LONGEST_WHOLE
    first = [document for document in seen.documents if document.strip()]
    if len(first) < FEWEST_TO_LEARN_FROM and not is_text:
        held = f"{len(first)} document{'s' * (len(first) != 1)}"
        raise CorpusError(
            f"{source} holds {held} (expected at least {FEWEST_TO_LEARN_FROM}, "
            "to train on some and hold out others; from 1,000 a model writes new ones); add more"
        )
    recipe = choose_recipe(
        Seen(characters, seen.bytes, seen.distinct, first, fits), _wanted_base(given)
    )
    longest_tokens = round(longest / recipe.characters_per_token)
    values = {
        "name": model_name(source),
        "corpus": {
            "source": source,
            "documents": "auto",
            "form": form,
            "passage_characters": passage,
            "clean": {"unwrap": "auto"},
        },
        "splits": {"validation": HELD_OUT, "test": HELD_OUT},
        **recipe.values,
        "generation": {
            "count": 1000 if fits else 50,
            "batch_size": 256 if fits else 64,
            "temperature": 0.8 if fits else 0.7,
            "max_length": min(10_000, max(50, 2 * longest_tokens)),
            **({"grammar": "color"} if form == "color" else {}),
        },
    }
    if published:
        values["corpus"]["sources"] = published
        values["corpus"]["source"] = ""
        values["splits"]["by"] = "source"
    experiment = from_values(values, overrides, origin=source)
    choices = (
        *_how_it_is_read(seen),
        *_warnings(first, is_text, characters),
        Choice("held out", "by file", "train, validation and test are separate files")
        if published
        else Choice("held out", f"{HELD_OUT:.0%} + {HELD_OUT:.0%}", "for validation and testing"),
        Choice("starts from", *recipe.start),
        Choice("tokens", recipe.tokens, f"{seen.distinct:,} distinct characters"),
        Choice("network", recipe.network, f"{characters:,} characters of text"),
        Choice("dropout", str(recipe.values["model"]["dropout"]), "less for more text"),
        Choice("rate", str(recipe.values["training"]["learning_rate"]), recipe.why_rate),
        Choice(
            "sequences",
            f"whole {'lines' if kind == 'lines' else 'records'}" if fits else f"{BPTT} tokens",
            f"of up to {longest:,} characters"
            if fits
            else "gradients flow back this far, the state is carried further",
        ),
        Choice(
            "budget",
            str(recipe.values["training"]["budget"]),
            _said_of_readings(recipe.readings),
        ),
    )
    typical = passage if is_text else median(map(len, first))
    tokens = max(1, round(typical / recipe.characters_per_token))
    shown = tuple(_as_set(choice, given, experiment) for choice in choices)
    documents = max(1, round(characters / recipe.characters_per_token / tokens))
    return Advice(experiment, shown, recipe.vocab_size, tokens, documents)


def _said_of_readings(readings: float) -> str:
    if readings >= 0.95:
        return f"{readings:.1f} passes over the text"
    return f"reads {readings:.0%} of the text; raise training.budget for more"


SETTINGS = {
    "unwrap": ("corpus.clean.unwrap",),
    "held out": ("splits.validation", "splits.test"),
    "starts from": ("training.base",),
    "tokens": ("tokenizer.kind",),
    "network": (
        "model.architecture", "model.num_layers", "model.hidden_size", "model.embedding_size",
    ),
    "dropout": ("model.dropout",),
    "rate": ("training.learning_rate",),
    "sequences": ("training.feed", "training.bptt"),
    "budget": ("training.budget",),
}  # fmt: skip
"""For each choice, by the name under which it is shown: the settings that override it."""


def _as_set(choice: Choice, given: Experiment, experiment: Experiment) -> Choice:
    """Return a choice with the value that the user set, or unchanged if the user set none."""
    names = [name for name in SETTINGS.get(choice.setting, ()) if _is_set(given, name)]
    if not names:
        return choice
    values = []
    for name in names:
        value: Any = experiment
        for part in name.split("."):
            value = getattr(value, part)
        values.append((name.rsplit(".", 1)[-1].replace("_", " "), str(value)))
    shown = values[0][1] if len(values) == 1 else ", ".join(f"{n} {value}" for n, value in values)
    return Choice(choice.setting, shown, "as set")


def _is_set(given: Experiment, name: str) -> bool:
    section: Any = given
    *path, last = name.split(".")
    for part in path:
        section = getattr(section, part)
    return last in section.model_fields_set


def _how_it_is_read(seen: Preview) -> Iterator[Choice]:
    """Yield choices about reading: kinds of documents, encodings, unwrapping, files left out.

    Files that are read in the same way share one choice.
    """
    read = [file for file in seen.files if file.size]
    groups: dict[tuple[str, str], list[SourceFile]] = {}
    for file in read:
        groups.setdefault((file.source.reader, file.source.documents), []).append(file)
    for (reader, kind), files in groups.items():
        where = "" if len(groups) == 1 else f"{reader}, {_count(files)}: "
        yield Choice("documents", kind, f"{where}{files[0].reason}")
    codecs: dict[str, list[SourceFile]] = {}
    for file in read:
        codecs.setdefault(str(file.encoding or "Parquet").removesuffix(", not sure"), []).append(
            file
        )
    for codec, files in codecs.items():
        where = "as detected" if len(codecs) == 1 else _count(files)
        sure = files[0].encoding is None or files[0].encoding.is_sure
        why = where if sure else f"{where}, a guess; if it is wrong, --set corpus.encoding=NAME"
        yield Choice("encoding", codec, why)
    if seen.most(lambda file: file.source.documents) == "passages":
        why = f"{seen.joins:,} line ends within wrapped paragraphs"
        yield Choice("unwrap", "yes" if seen.joins else "no", why)
    if empty := [file.name for file in seen.files if not file.size]:
        yield Choice("left out", _count(empty), f"empty: {', '.join(empty[:3])}")


SPLIT_NAMES = {
    "train": "train", "training": "train", "trn": "train",
    "valid": "validation", "validation": "validation", "val": "validation", "dev": "validation",
    "test": "test", "testing": "test", "tst": "test",
}  # fmt: skip
"""The split that a file belongs to, by the first part of its name, such as `valid` in `valid.txt`.
Published data sets often come as one file per split."""


def _published_splits(files: Sequence[SourceFile], given: Experiment) -> list[dict[str, str]]:
    """Return files named train, valid and test as sources of these splits; otherwise nothing."""
    if given.splits.model_fields_set or len(files) < len({*SPLIT_NAMES.values()}):
        return []
    splits = [SPLIT_NAMES.get(re.split(r"[.-]", Path(file.name).name.lower())[0]) for file in files]
    if {*splits} != {*SPLIT_NAMES.values()} or not all(file.path.is_file() for file in files):
        return []
    return [
        {"path": str(file.path), "split": str(split)}
        for file, split in zip(files, splits, strict=True)
    ]


def _warnings(documents: Sequence[str], is_text: bool, characters: int) -> Iterator[Choice]:
    """Yield warnings about a text that is short or repeats itself."""
    different = len({*documents})
    if not is_text and different < FEWEST_TO_WRITE_NEW_ONES:
        why = f"most texts will repeat these; {FEWEST_TO_WRITE_NEW_ONES:,} is few, 1,000 is good"
        yield Choice("warning", f"{different:,} documents", why)
    elif is_text and characters < FEWEST_CHARACTERS:
        why = f"little to learn from; even {FEWEST_CHARACTERS:,} is few, a book is good"
        yield Choice("warning", f"{characters:,} characters", why)
    repeated = 1.0 - different / max(1, len(documents))
    if repeated > MOST_REPEATED:
        yield Choice("warning", f"{repeated:.0%} repeated", "each is kept once")


def _count(files: Sequence[Any]) -> str:
    return f"{len(files):,} file" + "s" * (len(files) != 1)


def _wanted_base(given: Experiment) -> tuple[str, str] | None:
    """Return the base that the user's settings decide, and the reason; None if they leave it open.

    The base is `none` if they set the network or the tokenizer, since a base has its own.
    """
    if "base" in given.training.model_fields_set:
        return given.training.base, "as set"
    own = [name for name in NETWORK if name in given.model.model_fields_set]
    named = [f"model.{name}" for name in own]
    named += [f"tokenizer.{name}" for name in sorted(given.tokenizer.model_fields_set)]
    return (NO_BASE, f"{named[0]} is set") if named else None


def model_name(source: str) -> str:
    """Return a name for a model of the text at a path: the stem in lower case, with dashes.

    If the stem is not ASCII, or has neither letters nor digits, a digest of it is appended.
    """
    path = Path(source.split("*", maxsplit=1)[0]) if "*" in source else Path(source)
    while path.suffix in (".gz", ".zst", ".bz2", ".zip"):
        path = path.with_suffix("")
    name = re.sub(r"[^A-Za-z0-9]+", "-", path.stem).strip("-").lower()[:90]
    if path.stem.isascii() and name:
        return name
    return f"{name or 'text'}-{value_digest(path.stem)[:6]}"  # a name cannot hold all its letters
