"""Settings of the corpus, the splits and the tokenizer."""

import re
import string
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from rnnlm.config.strict import Config


class CleaningConfig(Config):
    """How to clean the text before a model sees it; every removal is counted and shown."""

    nfc: bool = True
    """Compose characters (Unicode NFC), so that é is one character however it was typed."""
    mojibake: bool = True
    """Repair text that was decoded with the wrong codec, such as `â€™` for an apostrophe (ftfy)."""
    soft_hyphens: bool = True
    """Remove soft hyphens, zero-width spaces and byte-order marks from within the text."""
    unwrap: bool | Literal["auto"] = False
    """Join the lines of hard-wrapped paragraphs; `auto` does so in files that are cut into
    passages."""
    boilerplate: tuple[Literal["gutenberg", "contents", "notes", "rules", "transcript"], ...] = ()
    """Boilerplate to remove. `gutenberg`: Project Gutenberg's header and licence; `contents`:
    tables of chapters; `notes`: reference marks such as `[i_1]` and captions of illustrations;
    `rules`: lines of asterisks or dashes; `transcript`: questions, speakers' names and
    `(Laughter.)`."""
    remove: tuple[str, ...] = ()
    """Remove whatever these regular expressions match (`^` and `$` match at line ends)."""
    repeated: Literal["drop", "keep"] = "drop"
    """What to do with a document that repeats an earlier one word for word."""
    near_duplicates: float = Field(default=0.8, ge=0.0, le=1.0)
    """Drop a document whose word sequences are at least this similar to an earlier one's (Jaccard,
    estimated by MinHash); 0 keeps all. Documents under 200 characters are kept."""
    without: tuple[str, ...] = ()
    """Drop documents that contain one of these words, in any case; `slurs` stands for the package's
    list of slurs."""
    shortest: int = Field(default=1, ge=1)
    """Drop documents of fewer characters than this."""

    @field_validator("remove")
    @classmethod
    def _patterns_compile(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in value:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"a regular expression; {error}") from error
        return value


Reader = Literal[
    "auto", "text", "json", "jsonl", "csv", "parquet", "markdown", "mealmaster", "colors"
]
DocumentKind = Literal["auto", "whole", "lines", "paragraphs", "passages", "chapters", "records"]


class ReadingConfig(Config):
    """How files are read and how a record becomes text."""

    reader: Reader = "auto"
    """File format. `auto` recognises it by the file's name (`.jsonl.gz` is JSON Lines) and
    beginning, and falls back to plain text; `colors` means lines with a name and a colour code."""
    documents: DocumentKind = "lines"
    """What makes a document. `whole`: a record, or a plain text file; `lines`: a line;
    `paragraphs`: a paragraph; `passages`: whole paragraphs of about `passage_characters` in total;
    `chapters`: the text between chapter headings; `records`: the text between matches of
    `separator`; `auto`: one of these for each file, chosen by its beginning."""
    separator: str = ""
    """Used with `records`: a regular expression that matches the text between two records, such as
    `^%$` (`^` and `$` match at line ends). If it is empty, blank lines separate records. With
    `documents = "auto"`, a separator makes a plain text one of records."""
    delimiter: str = Field(default="", max_length=1)
    """For `csv`: the character between cells; if this is empty, it is detected."""
    header: Literal["auto", "yes", "no"] = "auto"
    """For `csv`: whether the first row names the columns. If not, they are called `column1`,
    `column2` and so on, or `text` if there is only one."""
    render: str = "{text}"
    """How a record becomes text: a template of its fields, such as `{title}: {body}`, or of nested
    fields, such as `{data.body}` and `{messages[].content}`. If this is not set and there is no
    field `text`, the field with the longest prose is used. Other values: `color` (`name R G B` from
    the fields `name` and `hex`), `color-hsv` or `color-lab` (`name hsv H S V`, `name lab L a b`),
    `color-both` (the line of `color`, and a line `#rrggbb name` for the opposite direction; for
    documents = "lines"), or `recipe` (clean MealMaster text)."""
    fields: dict[str, str] = Field(default={})
    """Rename fields: `{"hex" = "rgb"}` reads `hex` from the record's `rgb`."""
    attributes: tuple[str, ...] = ()
    """Fields to keep along with the text, for conditioning or splitting. `file` is the file's stem;
    a recipe's `category` is the first of its categories."""
    encoding: str = "auto"
    """Name of a Python codec. `auto` uses the byte-order mark if there is one, otherwise UTF-8 if
    the text is valid UTF-8, and otherwise detects the encoding."""

    @field_validator("render")
    @classmethod
    def _is_a_template(cls, value: str) -> str:
        try:
            names = [name for _, name, _, _ in string.Formatter().parse(value) if name is not None]
        except ValueError as error:
            raise ValueError(f"a template such as '{{title}}: {{body}}'; {error}") from error
        if "" in names:
            raise ValueError("a template that names a field in each pair of braces")
        return value

    @field_validator("separator")
    @classmethod
    def _separator_compiles(cls, value: str) -> str:
        try:
            re.compile(value)
        except re.error as error:
            raise ValueError(f"a regular expression; {error}") from error
        return value


class SourceConfig(ReadingConfig):
    """A source: where its files are, and how to read them."""

    path: str = Field(min_length=1)
    """A file, a directory, a glob, or an address that fsspec opens, such as `s3://bucket/*.gz`."""
    split: Literal["train", "validation", "test"] | None = None
    """Split that the whole source belongs to, for published splits (`splits.by = "source"`)."""


COLUMNS_OF_TEXTS = (
    "accepted", "complete", "hash", "id", "log_prob_nats", "prefix", "seed", "text", "tokens",
)  # fmt: skip
"""Columns of a data set of generated texts, finished or not, except for those of the attributes
that the texts are conditioned on. A test compares these names with `rnnlm.generation`."""


class CorpusConfig(ReadingConfig):
    """Where the text comes from and what a document is."""

    source: str = ""
    """A catalog name (`rnnlm corpora` lists them), or else a path as in `sources.path`; `./colors`
    is a path even if the catalog has `colors`. The catalog defines how its corpora are read;
    settings here that are not the default take precedence."""
    sources: tuple[SourceConfig, ...] = ()
    """Several sources, instead of `source`."""
    passage_characters: int = Field(default=2000, ge=50, le=1_000_000)
    """Target length of a passage, in characters."""
    form: Literal["text", "prose", "color", "recipe"] = "text"
    """Form of a document: free text, prose that ends with a sentence, a colour `name R G B`, or a
    MealMaster recipe."""
    condition: tuple[str, ...] = ()
    """Attributes that a text is conditioned on; they precede it, in this order. Every source must
    have them. An empty value means unknown."""
    phrases: float = Field(default=0.0, ge=0.0, le=1.0)
    """Share of the training documents for which a list of their phrases, in varied case, is added
    as a further document. This teaches a base how titles and names are written."""
    clean: CleaningConfig = CleaningConfig()
    """How to clean the text."""
    bad_records: Literal["error", "skip"] = "error"
    """What to do with a record that cannot be read: end the run, or drop and count the record."""
    longest: int = Field(default=64_000_000, ge=1000, le=1_000_000_000)
    """Largest size of a document in bytes; a longer one counts as a record that cannot be read."""
    shard_bytes: int = Field(default=32_000_000, ge=1000, le=1_000_000_000)
    """Number of source bytes per shard, a file of documents. A shard is the unit of parallel work,
    so its size decides how much memory is used."""

    @model_validator(mode="after")
    def _has_one_source(self) -> Self:
        if bool(self.source) == bool(self.sources):
            raise ValueError("give either corpus.source or corpus.sources")
        return self

    @field_validator("condition")
    @classmethod
    def _names_each_once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len({*value}) < len(value):
            raise ValueError("each attribute once")
        if taken := next((name for name in value if name in COLUMNS_OF_TEXTS), ""):
            raise ValueError(
                f"a name other than {taken!r}, which is a column of every data set of texts; "
                f'corpus.fields = {{ my_{taken} = "{taken}" }} reads it as my_{taken}'
            )
        return value

    @model_validator(mode="after")
    def _sources_have_the_condition(self) -> Self:
        for source in self.all_sources:
            missing = [name for name in self.condition if name not in source.attributes]
            if missing and (self.sources or source.attributes):  # else the catalog may have them
                where = f"sources.attributes of {source.path}" if self.sources else "attributes"
                raise ValueError(
                    f"corpus.condition names {missing[0]!r}, which is not among corpus.{where}"
                )
        return self

    @model_validator(mode="after")
    def _separators_have_records(self) -> Self:
        for source in self.all_sources:
            if source.separator and source.documents not in ("auto", "records"):
                kind = source.documents
                raise ValueError(
                    f"a separator is only for corpus.documents = 'records', not {kind!r}"
                )
        return self

    @property
    def all_sources(self) -> tuple[SourceConfig, ...]:
        """All sources, as a tuple even if there is only one."""
        if self.sources:
            common = self.model_dump(include={"documents", "separator"})
            return tuple(
                source.model_copy(
                    update={k: v for k, v in common.items() if k not in source.model_fields_set}
                )
                for source in self.sources
            )
        reading = self.model_dump(include={*ReadingConfig.model_fields}, exclude_unset=True)
        return (SourceConfig(path=self.source, **reading),)


class SplitConfig(Config):
    """Shares of documents to hold out, and how documents are assigned to splits."""

    by: Literal["hash", "position", "shuffle", "source"] = "hash"
    """How to assign documents: by a `hash` of their text (adding a document moves no other). For
    published benchmarks: `position` cuts each file, training text first; `shuffle` shuffles the
    documents with Python's generator; `source` goes by `sources.split`."""
    key: str = ""
    """Hash this attribute instead of the text: documents with the same value are in one split."""
    seed: int = Field(default=42, ge=0, lt=2**63)
    """Seed of `shuffle`."""
    validation: float = Field(default=0.05, gt=0.0, lt=0.5)
    """Share of documents used to choose the best checkpoint."""
    test: float = Field(default=0.05, gt=0.0, lt=0.5)
    """Share of documents used for nothing but the final score."""


class TokenizerConfig(Config):
    """What a token is."""

    kind: Literal["character", "byte", "word", "bpe", "base"] = "character"
    """A token is a character, a byte of UTF-8, a word, a piece of a word (byte-pair encoding), or
    a token of `training.base`."""
    words: Literal["pieces", "whitespace"] = "pieces"
    """For `word`. `pieces`: words with the space before them, punctuation and line ends; decoding
    restores the text exactly. `whitespace`: text between spaces; a line end is `<eos>`, as in the
    language modelling literature."""
    vocab_size: int = Field(default=8000, ge=260, le=4_000_000)
    """For `word` and `bpe`: largest number of vocabulary entries, special tokens included."""
    min_count: int = Field(default=1, ge=1)
    """For `word`: words that occur less often than this become `<unk>`."""
