"""How texts are drawn, and how many."""

from typing import Literal

from pydantic import Field

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
