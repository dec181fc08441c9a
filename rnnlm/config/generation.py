"""Settings of sampling, and of the data set of texts to generate."""

from typing import Literal, Self

from pydantic import Field, model_validator

from rnnlm.config.strict import Config

MAX_COUNT = 10**12
"""Most texts in one data set: a limit that catches typing errors, far above what disks hold."""
COMPARING = ("novel_only", "no_copied_numbers", "known_words_only")
"""Settings that require the training text, because they compare the drawn texts with it."""


class SamplingConfig(Config):
    """How the next token is drawn from the model's distribution."""

    temperature: float = Field(default=0.8, ge=0.0, le=100.0)
    """Divide the logits by this; 0 takes the likeliest token, 1 leaves the model as it is."""
    top_k: int = Field(default=0, ge=0)
    """Draw among the k likeliest tokens only; 0 for all."""
    top_p: float = Field(default=1.0, gt=0.0, le=1.0)
    """Draw among as few of the likeliest tokens as have this total probability; 1 for all."""
    min_p: float = Field(default=0.0, ge=0.0, le=1.0)
    """Draw among tokens whose probability is at least this share of the likeliest token's; 0 for
    all."""
    repetition_penalty: float = Field(default=1.0, ge=0.01, le=100.0)
    """Divide the logits of tokens that the text already has by this; 1 for no penalty."""


class GenerationConfig(SamplingConfig):
    """The data set to generate."""

    count: int = Field(default=100, ge=1, le=MAX_COUNT)
    """Number of texts; `--count` also takes 20k or 1M."""
    seed: int = Field(default=1, ge=0, lt=2**63)
    """Seed of the data set. Text n of a seed is the same, however many texts there are."""
    prefix: str = ""
    """Begin every text with this."""
    given: dict[str, str] = Field(default={})
    """Attribute of the texts, such as `brand=behr`. The model must have been trained with it
    (`corpus.condition`). Models of colours in both directions take `color=#b39a7c`."""
    max_length: int = Field(default=200, ge=1, le=10_000_000)
    """Cut a text after this many tokens. The prefix is not counted, the closing boundary is."""
    min_length: int = Field(default=0, ge=0, le=10_000_000)
    """Let a text end after this many tokens at the earliest, the prefix not counted."""
    grammar: str = ""
    """Form that every text must have: `color`, `color-hsv`, `color-lab`, `recipe`, or a regular
    expression for the whole text."""
    banned: tuple[str, ...] = ()
    """String that no text may contain."""
    required: tuple[str, ...] = ()
    """String that every text must contain. Other texts are dropped and replaced."""
    stop: tuple[str, ...] = ()
    """End a text before this string."""
    unique: bool = False
    """Drop repeated texts, and draw others in their place."""
    novel_only: bool = False
    """Drop texts that occur in the training text, or that `no_copied_numbers` would drop, and draw
    others in their place."""
    no_copied_numbers: bool = False
    """Drop texts with a number of seven or more digits, or an e-mail address, of the training text,
    and draw others in their place."""
    valid_only: bool = False
    """Drop texts that do not match the corpus's form, and draw others in their place."""
    known_words_only: bool = False
    """Drop texts with words that are neither in the training text nor in a dictionary of its
    language, and draw others in their place."""
    best_of: int = Field(default=1, ge=1, le=100)
    """Draw this many texts for each one wanted, and keep the one that the model finds likeliest per
    character."""
    precision: Literal["auto", "int8", "bf16", "fp32"] = "auto"
    """Number format to compute with; `auto` takes the fastest that, as measured after training,
    predicts text hardly worse than 32-bit numbers."""
    format: Literal["parquet", "jsonl", "txt"] = "parquet"
    """File format of the shards."""
    shard_size: int = Field(default=10_000, ge=1, le=10_000_000)
    """Texts per file."""
    batch_size: int = Field(default=0, ge=0, le=65_536)
    """Texts drawn at the same time; 0 lets the engine choose."""

    @property
    def compares(self) -> bool:
        """Whether a setting requires the training text, to compare the drawn texts with it."""
        return any(getattr(self, name) for name in COMPARING)

    @model_validator(mode="after")
    def _lengths_fit(self) -> Self:
        if self.min_length > self.max_length:
            raise ValueError(
                f"min_length = {self.min_length} is above max_length = {self.max_length}; "
                "lower min_length or raise max_length"
            )
        return self
