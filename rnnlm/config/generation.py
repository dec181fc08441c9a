"""How texts are drawn, and how many."""

from typing import Literal, Self

from pydantic import Field, model_validator

from rnnlm.config.base import Config

MAX_COUNT = 10**12
"""Most texts one data set may hold: a bound against typing errors, far above any disk."""


class SamplingConfig(Config):
    """How the next token is drawn from the model's distribution."""

    temperature: float = Field(default=0.8, ge=0.0, le=100.0)
    """Divides the logits; 0 takes the most likely token, 1 the model as it is."""
    top_k: int = Field(default=0, ge=0)
    """Keep exactly the k most likely tokens; 0 keeps all."""
    top_p: float = Field(default=1.0, gt=0.0, le=1.0)
    """Keep the smallest set of most likely tokens whose probabilities reach this; 1 keeps all."""
    min_p: float = Field(default=0.0, ge=0.0, le=1.0)
    """Keep tokens at least this many times as likely as the likeliest; 0 keeps all."""
    repetition_penalty: float = Field(default=1.0, ge=0.01, le=100.0)
    """Divides the logits of tokens that the text has already; 1 leaves them."""


class GenerationConfig(SamplingConfig):
    """The data set to generate."""

    count: int = Field(default=100, ge=1, le=MAX_COUNT)
    """Texts."""
    seed: int = Field(default=1, ge=0, lt=2**63)
    """Seed of the data set: text number n of a seed is the same whatever the count."""
    prefix: str = ""
    """Text that every generated text begins with."""
    given: dict[str, str] = Field(default={})
    """Attributes that every text is given, such as `brand`, where the model was trained on them
    (`corpus.condition`); or, of a model of colours both ways, `color`, as `#b39a7c`."""
    max_length: int = Field(default=200, ge=1, le=10_000_000)
    """Most tokens of a text after its prefix, its closing boundary included; a longer one is cut
    there."""
    min_length: int = Field(default=0, ge=0, le=10_000_000)
    """Fewest tokens of a text after its prefix, before its closing boundary."""
    grammar: str = ""
    """What every text must be: `color`, `color-hsv`, `color-lab`, `recipe`, or a regular expression
    for the whole of it."""
    banned: tuple[str, ...] = ()
    """Strings that no text may hold."""
    required: tuple[str, ...] = ()
    """Strings that every text must hold; texts without are refused, others take their place."""
    stop: tuple[str, ...] = ()
    """A text is over where one of these strings would stand; it is not part of the text."""
    unique: bool = False
    """Refuse texts that are the same as one with a lower number; others take their place."""
    novel_only: bool = False
    """Refuse texts that stand in the training text; others take their place."""
    valid_only: bool = False
    """Refuse texts that are not what the corpus's form says; others take their place."""
    known_words_only: bool = False
    """Refuse texts with a word that stands neither in the training text nor in a dictionary of its
    language; others take their place."""
    best_of: int = Field(default=1, ge=1, le=100)
    """Draw so many texts for each one that is kept: the one that the model finds likeliest per
    character, of those that no rule refuses."""
    precision: Literal["auto", "int8", "bf16", "fp32"] = "auto"
    """Of weights and states while generating; `auto` is the lowest that was found to cost nothing
    when the model was trained."""
    format: Literal["parquet", "jsonl", "txt"] = "parquet"
    """File format of the shards."""
    shard_size: int = Field(default=10_000, ge=1, le=10_000_000)
    """Texts per shard."""
    batch_size: int = Field(default=0, ge=0, le=65_536)
    """Texts that step together; 0 leaves it to the engine."""

    @property
    def compares(self) -> bool:
        """Whether a rule needs the training text."""
        return self.novel_only or self.known_words_only

    @model_validator(mode="after")
    def _lengths_fit(self) -> Self:
        if self.min_length > self.max_length:
            raise ValueError(
                f"min_length = {self.min_length} is above max_length = {self.max_length}; "
                "lower the one or raise the other"
            )
        return self
