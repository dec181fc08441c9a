"""What the archive of a version holds, and the names of its files.

The archive never holds the text that the model was trained on, and no code.
"""

import re
from typing import Annotated

from annotated_types import Ge, MaxLen
from pydantic import BaseModel, ConfigDict, Field, field_validator

from flows.registry import Move
from rnnlm.canaries import ExposureRow

FORMAT = "rnnlm-model-1"
CHECKPOINT = "model.safetensors"
CARD = "card.md"
VERSION = "version.json"
HISTORY = "history.json"
RUN = "run.json"
ARTIFACTS = "artifacts/"
NAMES = re.compile(
    r"model\.safetensors|card\.md|version\.json|history\.json|run\.json"
    r"|artifacts/([A-Za-z0-9_-][A-Za-z0-9 ._-]{0,99}/){0,4}[A-Za-z0-9_-][A-Za-z0-9 ._-]{0,99}"
    r"\.(html|json|jsonl|txt|md|png|svg|webp|jpg|csv|parquet)"
)
"""Names of the files that an archive may hold. Artifacts of other kinds stay behind."""

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
"""What the name of a model looks like."""
_DIGEST = r"^([0-9a-f]{64})?$"
_KEY = r"^([0-9a-f]{16})?$"
Digest = Annotated[str, Field(pattern=_DIGEST)]
Line = Annotated[str, MaxLen(2000)]


class Described(BaseModel):
    """A version of a model, as it was in the home that it was exported from.

    Attributes:
        name: Name of the model.
        version: Number of the version.
        aliases: Aliases of the version, such as `champion`.
        created: Creation time of the version, in milliseconds since 1970.
        reason: Why it was champion or challenger.
        test_bits_per_character: Bits per character on the test split of its corpus.
        checkpoint: sha256 of its checkpoint.
        corpus_name: Name of the model whose corpus it was trained on.
        corpus_key: Key of the step that wrote the corpus, which is the same in every home.
        baseline_key: Key of the step that counted the n-grams.
        corpus_digest: Digest of the corpus.
        source_digest: Digest of the source files of the corpus.
        recipe: See `flows.registry.Version`.
        started_from: sha256 of the checkpoint with its initial weights.
        base: Name of the base that its training started from; empty if there was none.
        base_digest: sha256 of that base; empty if there was none, or it was not found.
        condition: Names of the attributes in the header before each text.
        canaries: What it remembers of the canaries in its training text.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: Annotated[str, Field(pattern=rf"^{NAME.pattern}$")]
    version: Annotated[int, Ge(0)]
    aliases: Annotated[tuple[Line, ...], MaxLen(100)] = ()
    created: Annotated[int, Ge(0)] = 0
    reason: Line = ""
    test_bits_per_character: float = float("nan")
    checkpoint: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    corpus_name: Annotated[str, Field(pattern=rf"^({NAME.pattern})?$")] = ""
    corpus_key: Annotated[str, Field(pattern=_KEY)] = ""
    baseline_key: Annotated[str, Field(pattern=_KEY)] = ""
    corpus_digest: Digest = ""
    source_digest: Digest = ""
    recipe: Digest = ""
    started_from: Digest = ""
    base: Line = ""
    base_digest: Digest = ""
    condition: Annotated[tuple[Line, ...], MaxLen(100)] = ()
    canaries: Annotated[tuple[ExposureRow, ...], MaxLen(1000)] = ()

    @property
    def said(self) -> str:
        """Name, number and aliases, such as `book/3 @champion`."""
        return " ".join([f"{self.name}/{self.version}", *(f"@{alias}" for alias in self.aliases)])


class Point(BaseModel):
    """A value that was logged to a run.

    Attributes:
        key: Name of the metric.
        value: The value; may be infinite or not a number.
        timestamp: Milliseconds since 1970.
        step: Optimizer step.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_inf_nan="constants")

    key: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_./ -]{0,199}$")]
    value: float
    timestamp: Annotated[int, Ge(0)]
    step: int

    @field_validator("key")
    @classmethod
    def _is_plain(cls, key: str) -> str:
        if any(part in ("", ".", "..") for part in key.split("/")):
            raise ValueError("expected a name such as test/perplexity")
        return key


class TrainingRun(BaseModel):
    """The MLflow run of a training.

    Attributes:
        title: Name of the run.
        began: Start time, in milliseconds since 1970.
        ended: End time, in milliseconds since 1970.
        tags: Tags, of those in `KEPT_TAGS`.
        points: All values of all metrics.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    title: Line = ""
    began: Annotated[int, Ge(0)] = 0
    ended: Annotated[int, Ge(0)] = 0
    tags: dict[Line, Annotated[str, MaxLen(4000)]] = {}
    points: Annotated[tuple[Point, ...], MaxLen(2_000_000)] = ()


KEPT_TAGS = re.compile(
    r"stage\.[a-z_]{1,40}"
    r"|rnnlm\.(corpus|tokenizer|architecture|device|start|precision|verdict|sources|torch)"
    r"|mlflow\.(note\.content|user|source\.name|source\.git\.commit|rnnlm\.texts|rnnlm\.review)"
)
"""Tags of a run that mean the same in every home."""


class History(BaseModel):
    """The changes of champion of a model, in the home that it was exported from.

    Attributes:
        moves: The moves of the alias `champion`, newest first.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    moves: Annotated[tuple[Move, ...], MaxLen(10_000)] = ()
