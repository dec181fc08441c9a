"""The configuration of an experiment: frozen, checked as a whole, one TOML file each.

A configuration says everything that decides a result, so its digest can stand for it. Wrong input
is reported all at once, each fault by its dotted path: a misspelt key, a number out of range.
"""

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from rnnlm.errors import ConfigError

MAX_COUNT = 10**12
"""Most texts one data set may hold: a bound against typing errors, far above any disk."""


class Config(BaseModel):
    """Base of all configuration: frozen, no unknown keys, field docstrings as descriptions."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class CleaningConfig(Config):
    """What is done to the text before a model sees it; every removal is counted and shown."""

    nfc: bool = True
    """Compose characters (Unicode NFC), so that é is one character however it was typed."""
    mojibake: bool = True
    """Mend text that was decoded wrongly once, such as `â€™` for an apostrophe (ftfy)."""
    soft_hyphens: bool = True
    """Remove soft hyphens, zero-width spaces and byte-order marks from within the text."""
    unwrap: bool = False
    """Join the lines of hard-wrapped paragraphs."""
    boilerplate: tuple[Literal["gutenberg", "contents", "notes", "rules", "transcript"], ...] = ()
    """Remove: Project Gutenberg's header and licence; tables of chapters; reference marks such as
    `[i_1]` and illustrations' captions; lines of asterisks or dashes; a transcript's questions,
    speakers' names and `(Laughter.)`."""
    remove: tuple[str, ...] = ()
    """Regular expressions; what they match is removed (`^` and `$` match at line ends)."""
    repeated: Literal["drop", "keep"] = "drop"
    """What to do with a document that stood before, word for word."""
    near_duplicates: float = Field(default=0.8, ge=0.0, le=1.0)
    """Drop a document that shares at least this part of its word sequences (Jaccard, estimated by
    MinHash) with one that stood before; 0 keeps all. Documents under 200 characters are kept."""
    shortest: int = Field(default=1, ge=1)
    """Drop documents of fewer characters."""

    @field_validator("remove")
    @classmethod
    def _patterns_compile(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in value:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"a regular expression; {error}") from error
        return value


Reader = Literal["auto", "text", "json", "jsonl", "csv", "parquet", "markdown", "mealmaster"]


class ReadingConfig(Config):
    """How files are read and how a record becomes text."""

    reader: Reader = "auto"
    """File format; `auto` goes by the name (`.jsonl.gz` is JSON Lines), else plain text."""
    render: str = "{text}"
    """How a record becomes text: a template of its fields such as `{title}: {body}`, or `color`
    (`name R G B` from the fields `name` and `hex`), or `recipe` (clean MealMaster text)."""
    fields: dict[str, str] = {}
    """Other names for fields: `{"hex" = "rgb"}` reads `hex` from the record's `rgb`."""
    attributes: tuple[str, ...] = ()
    """Fields kept beside the text, to condition or to split on; `file` is the file's stem."""
    encoding: str = "auto"
    """A Python codec name, or `auto`: byte-order mark, then UTF-8, then detection."""


class SourceConfig(ReadingConfig):
    """A source: where its files lie and how they are read."""

    path: str = Field(min_length=1)
    """A file, a directory, a glob, or an address that fsspec opens, such as `s3://bucket/*.gz`."""
    split: Literal["train", "validation", "test"] | None = None
    """The published split that the whole source is, for `splits.by = "source"`."""


class CorpusConfig(ReadingConfig):
    """Where the text comes from and what a document is."""

    source: str = ""
    """A catalog name (`rnnlm corpora` lists them), or a path as in `sources.path`, read as said."""
    sources: tuple[SourceConfig, ...] = ()
    """Several sources, instead of `source`."""
    documents: Literal["whole", "lines", "paragraphs", "passages", "chapters"] = "lines"
    """A document is a whole record (or plain text file), a line of it, a paragraph, a passage of
    whole paragraphs of about `passage_characters`, or what stands between chapter headings."""
    passage_characters: int = Field(default=2000, ge=50, le=1_000_000)
    """Aimed-at length of a passage, in characters."""
    form: Literal["text", "color", "recipe"] = "text"
    """What a document is to a person: free text, a colour `name R G B`, a MealMaster recipe."""
    clean: CleaningConfig = CleaningConfig()
    """What is mended and removed."""
    bad_records: Literal["error", "skip"] = "error"
    """A record that cannot be read ends the run, or is dropped and counted."""
    longest: int = Field(default=64_000_000, ge=1000, le=1_000_000_000)
    """Bytes above which a single document counts as one that cannot be read."""
    shard_bytes: int = Field(default=32_000_000, ge=1000, le=1_000_000_000)
    """Source bytes per shard of documents; decides memory and the unit of parallel work."""

    @model_validator(mode="after")
    def _has_one_source(self) -> Self:
        if bool(self.source) == bool(self.sources):
            raise ValueError("give either corpus.source or corpus.sources")
        return self

    @property
    def all_sources(self) -> tuple[SourceConfig, ...]:
        """The sources, also where only one was given."""
        if self.sources:
            return self.sources
        reading = self.model_dump(include={*ReadingConfig.model_fields}, exclude_unset=True)
        return (SourceConfig(path=self.source, **reading),)


class SplitConfig(Config):
    """Shares of documents held out, and what decides where a document goes."""

    by: Literal["hash", "position", "shuffle", "source"] = "hash"
    """`hash` of the document's text (an added document moves no other). Published benchmarks:
    `position` cuts each file, training text first; `shuffle` shuffles the documents with Python's
    generator; `source` goes by `sources.split`."""
    key: str = ""
    """Hash this attribute instead of the text: documents that share it share a split."""
    seed: int = Field(default=42, ge=0, lt=2**63)
    """Seed of `shuffle`."""
    validation: float = Field(default=0.05, gt=0.0, lt=0.5)
    """Share of documents that choose the best checkpoint."""
    test: float = Field(default=0.05, gt=0.0, lt=0.5)
    """Share of documents that are only ever scored."""


class TokenizerConfig(Config):
    """What a token is."""

    kind: Literal["character", "byte", "word", "bpe"] = "character"
    """A character, a byte of UTF-8, a word, or a piece of one by byte-pair encoding."""
    words: Literal["pieces", "whitespace"] = "pieces"
    """For `word`. `pieces`: words with the space before them, punctuation and line ends, so that
    text comes back as it was. `whitespace`: what stands between spaces; a line end is `<eos>`,
    as in the language modelling literature."""
    vocab_size: int = Field(default=8000, ge=260, le=4_000_000)
    """For `word` and `bpe`: most entries, specials included."""
    min_count: int = Field(default=1, ge=1)
    """For `word`: words that occur less often become `<unk>`."""


class ModelConfig(Config):
    """The shape of the network."""

    architecture: Literal["lstm"] = "lstm"
    """Which model; see the table in `rnnlm.models`."""
    embedding_size: int = Field(default=64, ge=1, le=16_384)
    """Features of a token's embedding."""
    hidden_size: int = Field(default=256, ge=1, le=16_384)
    """Features of a layer's hidden state."""
    num_layers: int = Field(default=1, ge=1, le=32)
    """Recurrent layers, stacked."""
    dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Probability that a feature between layers is dropped while training."""


class Budget(NamedTuple):
    """How long to train: an amount and its unit."""

    amount: float
    unit: Literal["seconds", "tokens", "epochs"]


class TrainingConfig(Config):
    """How the network learns."""

    feed: Literal["documents", "stream"] = "documents"
    """Whole documents, gradients through each; or pieces of `bptt` tokens, state carried."""
    batch_size: int = Field(default=32, ge=1, le=65_536)
    """Documents that step together."""
    bptt: int = Field(default=128, ge=1, le=65_536)
    """Tokens through which gradients flow back, for the `stream` feed."""
    learning_rate: float = Field(default=3e-3, gt=0.0, le=10.0)
    """Peak learning rate of AdamW."""
    weight_decay: float = Field(default=0.01, ge=0.0, le=10.0)
    """Decoupled weight decay, on matrices only."""
    gradient_clip: float = Field(default=1.0, gt=0.0)
    """Largest L2 norm of the whole gradient."""
    warmup: float = Field(default=0.05, ge=0.0, lt=1.0)
    """Share of the budget during which the learning rate climbs; then it falls as a cosine."""
    budget: str = "10 epochs"
    """When to stop: `90 s`, `3 min`, `1 h`, `5M tokens`, `20 epochs`. Seconds are the one unit
    that does not give the same result twice."""
    validations: int = Field(default=20, ge=1, le=10_000)
    """How often the validation split is scored over the budget."""
    validation_tokens: int = Field(default=100_000, ge=1)
    """Most tokens that are scored each time: the first documents of the split."""
    patience: int = Field(default=5, ge=1)
    """Validations in a row without a new best after which training stops early."""
    seed: int = Field(default=1, ge=0, lt=2**63)
    """Seed of initial weights, document order and dropout."""
    device: str = Field(default="auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$")
    """`auto`: a GPU where there is one, else the CPU."""

    @field_validator("budget")
    @classmethod
    def _budget_is_readable(cls, value: str) -> str:
        parse_budget(value)
        return value


class SamplingConfig(Config):
    """How the next token is drawn from the model's distribution."""

    temperature: float = Field(default=0.8, ge=0.0, le=100.0)
    """Divides the logits; 0 takes the most likely token, 1 the model as it is."""
    top_k: int = Field(default=0, ge=0)
    """Keep exactly the k most likely tokens; 0 keeps all."""
    top_p: float = Field(default=1.0, gt=0.0, le=1.0)
    """Keep the smallest set of most likely tokens whose probabilities reach this; 1 keeps all."""


class GenerationConfig(SamplingConfig):
    """The data set to generate."""

    count: int = Field(default=100, ge=1, le=MAX_COUNT)
    """Texts."""
    seed: int = Field(default=1, ge=0, lt=2**63)
    """Seed of the data set: text number n of a seed is the same whatever the count."""
    prefix: str = ""
    """Text that every generated text begins with."""
    max_length: int = Field(default=200, ge=1, le=10_000_000)
    """Most tokens of a text after its prefix; a longer one is cut there."""
    format: Literal["parquet", "jsonl", "txt"] = "parquet"
    """File format of the shards."""
    shard_size: int = Field(default=10_000, ge=1, le=10_000_000)
    """Texts per shard."""
    batch_size: int = Field(default=256, ge=1, le=65_536)
    """Texts that step together."""


class Experiment(Config):
    """Everything that decides what a run makes."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")
    """Name of the model in the registry and of its folders under `data/`."""
    corpus: CorpusConfig
    """Where the text comes from."""
    splits: SplitConfig = SplitConfig()
    """What is held out."""
    tokenizer: TokenizerConfig = TokenizerConfig()
    """What a token is."""
    model: ModelConfig = ModelConfig()
    """The network."""
    training: TrainingConfig = TrainingConfig()
    """How it learns."""
    generation: GenerationConfig = GenerationConfig()
    """The data set sampled at the end."""

    @model_validator(mode="after")
    def _splits_leave_training_text(self) -> Self:
        if self.splits.validation + self.splits.test > 0.8:
            raise ValueError("splits.validation + splits.test exceed 0.8: too little to train on")
        return self


_BUDGET = re.compile(r"^\s*([0-9]*\.?[0-9]+(?:e[0-9]+)?)\s*([kM]?)\s*([a-z]+)\s*$")
_UNITS: dict[str, tuple[float, Literal["seconds", "tokens", "epochs"]]] = {
    **dict.fromkeys(("s", "sec", "second", "seconds"), (1.0, "seconds")),
    **dict.fromkeys(("m", "min", "minute", "minutes"), (60.0, "seconds")),
    **dict.fromkeys(("h", "hour", "hours"), (3600.0, "seconds")),
    **dict.fromkeys(("token", "tokens"), (1.0, "tokens")),
    **dict.fromkeys(("epoch", "epochs"), (1.0, "epochs")),
}


def parse_budget(text: str) -> Budget:
    """Read a training budget such as `90 s`, `5M tokens` or `20 epochs`.

    Raises:
        ValueError: `text` is no positive amount with a known unit.
    """
    match = _BUDGET.match(text)
    factor, unit = _UNITS.get(match[3], (0.0, "seconds")) if match else (0.0, "seconds")
    scale = {"": 1.0, "k": 1e3, "M": 1e6}[match[2]] if match else 0.0
    amount = float(match[1]) * scale * factor if match else 0.0
    if not 0.0 < amount < 1e18:
        raise ValueError("no budget (expected such as `90 s`, `5M tokens`, `20 epochs`)")
    return Budget(amount, unit)


def load(path: Path, overrides: Sequence[str] = ()) -> Experiment:
    """Read an experiment from a TOML file and apply `key=value` overrides.

    Args:
        path: The TOML file. A file without `name` takes its stem for a name.
        overrides: Such as `training.budget=30 s`; a value is read as TOML, else as a string.

    Raises:
        ConfigError: The file is missing or no TOML, or some keys or values are wrong; all faults
            are named at once.
    """
    try:
        with path.open("rb") as file:
            values = tomllib.load(file)
    except OSError as error:
        raise ConfigError(f"cannot read config {path}: {error.strerror}") from error
    except ValueError as error:  # TOML faults, bad UTF-8 and numbers too long for an int
        raise ConfigError(f"{path} is no valid TOML: {error}") from error
    values.setdefault("name", path.stem)
    return from_values(values, overrides, origin=str(path))


def from_values(
    values: Mapping[str, Any], overrides: Sequence[str] = (), *, origin: str
) -> Experiment:
    """Build an experiment from nested values and `key=value` overrides.

    Raises:
        ConfigError: Some keys or values are wrong; all faults are named at once.
    """
    merged = {**values}
    for override in overrides:
        _apply(merged, override)
    try:
        return Experiment.model_validate(merged)
    except ValidationError as error:
        faults = "; ".join(_describe(fault) for fault in error.errors())
        raise ConfigError(f"{origin}: {faults}") from error


def override(config: GenerationConfig, changes: Mapping[str, Any]) -> GenerationConfig:
    """Return a copy of `config` with the changes that are not None, checked.

    Raises:
        ConfigError: Some values are out of range; all faults are named at once.
    """
    given = {key: value for key, value in changes.items() if value is not None}
    try:
        return GenerationConfig.model_validate({**config.model_dump(), **given})
    except ValidationError as error:
        raise ConfigError("; ".join(_describe(fault) for fault in error.errors())) from error


def shorten(value: object, limit: int = 40) -> str:
    """Return a value as a person would want it quoted: one line, at most `limit` characters."""
    try:
        text = " ".join(repr(value).split())
    except ValueError:  # an int with too many digits to print
        text = "a very long number"
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def _apply(values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key.strip():
        raise ConfigError(
            f"--set {shorten(override)} is no assignment (expected such as training.budget='30 s')"
        )
    *sections, last = key.strip().split(".")
    for section in sections:
        inner = values.get(section, {})
        if not isinstance(inner, Mapping):
            raise ConfigError(f"--set {key.strip()}: {section} is a value, not a section")
        values[section] = {**inner}
        values = values[section]
    values[last] = _toml_value(text.strip())


def _toml_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except ValueError:
        return text


def _describe(fault: Any) -> str:
    path = [str(part) for part in fault["loc"]]
    dotted = ".".join(path)
    if fault["type"] == "extra_forbidden":
        close = difflib.get_close_matches(path[-1], _keys_at(path[:-1]), n=1)
        hint = f" (did you mean `{close[0]}`?)" if close else ""
        return f"unknown key {dotted}{hint}"
    if fault["type"] == "missing":
        return f"{dotted} is missing"
    if not path or isinstance(fault["input"], Mapping | Config):
        return str(fault["msg"]).removeprefix("Value error, ")
    expected = str(fault["msg"]).removeprefix("Value error, ").removeprefix("Input should be ")
    return f"{dotted} = {shorten(fault['input'])} (expected {expected.removeprefix('a valid ')})"


def _keys_at(path: Iterable[str]) -> list[str]:
    model: Any = Experiment
    for part in path:
        if not part.isdigit():  # the number of an entry in a list
            model = model.model_fields[part].annotation
            model = next((m for m in get_args(model) if m is not ...), model)
    return list(model.model_fields)
