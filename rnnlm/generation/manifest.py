"""The result of a generation job: its figures, its manifest file, and its pages and pictures."""

import platform
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from rnnlm import __version__
from rnnlm.audit import gallery
from rnnlm.audit.card import Origin
from rnnlm.audit.pages import copied_names, write_pages
from rnnlm.audit.reference import Reference
from rnnlm.audit.summary import Audit, ShardAudit
from rnnlm.canaries import ExposureRow
from rnnlm.config import Experiment, GenerationConfig
from rnnlm.corpora.catalog import catalog
from rnnlm.corpora.forms import is_valid
from rnnlm.engine.opening import Engine, Sampler
from rnnlm.generation.publishing import COLUMNS
from rnnlm.storage import value_digest

EXAMPLES = 20
GALLERY_FILE = "gallery.png"
GALLERY_COLORS = 200


class Source(BaseModel):
    """The corpus that a model was trained on, for comparisons.

    Attributes:
        uri: Folder of the corpus, which `ingest` wrote.
        digest: Digest of the corpus.
        baseline: Checkpoint of an n-gram model of the corpus; None to count n-grams for the audit.
        base: Checkpoint of the base model that training started from; None without a base. The
            audit looks for text that the base has read, which the texts may repeat.
    """

    model_config = ConfigDict(frozen=True)

    uri: str
    digest: str
    baseline: Path | None = None
    base: Path | None = None

    def resolved(self) -> Self:
        """Return the source with absolute paths."""
        return self.model_copy(
            update={
                "uri": str(Path(self.uri).resolve()),
                "baseline": self.baseline and self.baseline.resolve(),
                "base": self.base and self.base.resolve(),
            }
        )


class About(BaseModel):
    """Facts for the data set card that a job cannot find out itself.

    Attributes:
        name: Name of the model in the registry.
        version: Version of the model in the registry; None if it is not registered.
        command: Command line that reproduces the data set.
        license: Licence of the data set, as an identifier of the Hugging Face hub.
        canaries: What the model remembers of its canaries; empty if it was trained without.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    version: str | None = None
    command: str = ""
    license: str = "unknown"
    canaries: tuple[ExposureRow, ...] = ()


class TextDataSet(BaseModel):
    """The data set that a job made.

    Attributes:
        uri: Folder with the shards and the manifest.
        digest: sha256 of the digests of all shards, in order.
        count: Number of texts.
        drawn: Number of texts drawn up to the last one that was kept; more than `count` if filters
            refused some.
        characters: Number of characters of all texts.
        tokens: Number of tokens sampled for the texts that were kept.
        engine: The engine that computed the texts: `native`, `fused` (kernels for GPUs; torch may
            have replaced them if they did not work), `torch`, or `model` (the model's own forward
            pass).
        precision: Precision of weights and states.
        engine_note: Why native code was not used; empty if it was.
        form: What a text should be; see `CorpusConfig.form`.
        valid_share: Share of texts that are valid in their form.
        copied_share: Share of texts that are copies of training text; None if the training split
            was not available. Colours are compared by their names, other texts as a whole; see
            `Reference.are_copies`.
        complete_share: Share of texts that the model ended; the others were cut at the maximum
            length.
        audit: The audit of the texts.
        pages: Caption of each picture and HTML page in the folder, by file name.
        examples: The first valid texts, or the first texts if none is valid; with numbers and
            addresses of the training text masked.
        was_finished: Whether the data set was already finished, so that this run did nothing.
    """

    model_config = ConfigDict(frozen=True)

    uri: str
    digest: str
    count: int
    drawn: int
    characters: int
    tokens: int
    engine: str
    precision: str
    engine_note: str
    form: str
    valid_share: float
    copied_share: float | None
    complete_share: float
    audit: Audit
    pages: dict[str, str]
    examples: list[str]
    was_finished: bool = False


def draw_pages(
    out: Path, title: str, total: ShardAudit, audit: Audit, reference: Reference | None
) -> dict[str, str]:
    """Write the pictures and HTML pages; return a caption for each, by file name."""
    pages = write_pages(out, title, total, audit, reference)
    if not total.colors:
        return pages
    colors = total.colors[:GALLERY_COLORS]
    copied = copied_names(colors, reference)
    title = f"{len(colors)} generated colours"
    title += " (* name in the training text)" if copied else ""
    gallery.draw([(title, colors)], out / GALLERY_FILE, copied)
    caption = f"{len(colors)} of the colours"
    caption += "; an asterisk marks a name in the training text" if copied else ""
    return {GALLERY_FILE: caption} | pages


def summarise(
    out: str,
    config: GenerationConfig,
    how: Engine,
    records: Sequence[dict[str, Any]],
    total: ShardAudit,
    audit: Audit,
    drawn: int,
    pages: dict[str, str],
    reference: Reference | None,
) -> TextDataSet:
    """Return the summary of a data set.

    Args:
        out: Folder of the data set, as the caller named it.
        config: Settings of the job.
        how: The engine that was used.
        records: Records of the shards, in order.
        total: The sum of the shards' audit records.
        audit: The audit computed from `total`.
        drawn: Number of texts drawn up to the last one that was kept.
        pages: The captions that `draw_pages` returned.
        reference: The reference that the texts were compared with, if any.
    """
    figures = audit.generated
    valid = [text for text in total.sample if is_valid(audit.form, text)]
    examples = [*(valid or total.sample)][:EXAMPLES]
    return TextDataSet(
        uri=out,
        digest=value_digest([record["sha256"] for record in records]),
        count=config.count,
        drawn=drawn,
        characters=sum(record["characters"] for record in records),
        tokens=sum(record["tokens"] for record in records),
        engine=how.kind,
        precision=how.precision,
        engine_note=how.reason,
        form=audit.form,
        valid_share=figures.valid_share or 0.0,
        copied_share=figures.copied_share,
        complete_share=figures.complete_share or 0.0,
        audit=audit,
        pages=pages,
        examples=reference.masked(examples) if reference else examples,
    )


def _corpus_license(experiment: Experiment) -> str:
    """Return the licences of an experiment's sources, as far as the catalog of corpora has them."""
    names = dict.fromkeys(part.path for part in experiment.corpus.all_sources)
    found = {name: entry.licence for name in names if (entry := catalog().get(name))}
    if len(names) == 1:
        return next(iter(found.values()), "")
    return "; ".join(f"{name}: {found.get(name, 'not stated')}" for name in names) if found else ""


def _columns(kind: str, condition: Sequence[str]) -> dict[str, str]:
    """Return a description of each column of a shard, by name; empty for plain text files."""
    headers = dict.fromkeys(condition, "attribute of the text: given, or else written by the model")
    return COLUMNS | headers if kind != "txt" else {}


def describe(
    job: dict[str, Any],
    title: str,
    data_set: TextDataSet,
    records: Sequence[dict[str, Any]],
    sampler: Sampler,
    about: About,
    source: Source | None,
) -> dict[str, Any]:
    """Return the manifest of a data set, as a dictionary that is written as JSON.

    The data set card is written from it; `audit.card.Manifest` lists the keys that the card uses.
    """
    experiment, how = sampler.experiment, sampler.engine
    model = Origin(
        name=about.name,
        digest=job["checkpoint"],
        version=about.version,
        description=experiment.model.title,
    )
    corpus = Origin(
        name=experiment.name,
        digest=source.digest if source else "",
        license=_corpus_license(experiment),
    )
    return {
        "job": job,
        "name": title,
        "form": data_set.form,
        "files": [record["file"] for record in records],
        "columns": _columns(job["generation"]["format"], experiment.corpus.condition),
        "generation": job["generation"],
        "model": model.model_dump(),
        "corpus": corpus.model_dump(),
        "engine": how.kind,
        "precision": how.precision,
        "engine_note": how.reason,
        "versions": {
            "rnnlm": __version__,
            "torch": metadata.version("torch"),
            "numpy": np.__version__,
            "pyarrow": pa.__version__,
            "python": platform.python_version(),
        },
        "machine": {"system": platform.platform(), "processor": platform.machine()},
        "command": about.command,
        "license": about.license,
        "canaries": [row.model_dump() for row in about.canaries],
        "examples": data_set.examples,
        "audit": data_set.audit.model_dump(mode="json"),
        "pages": data_set.pages,
        "prefixes": job["prefixes"] is not None,
        "experiment": experiment.model_dump(mode="json"),
        "shards": [*records],
        "data_set": data_set.model_dump(mode="json"),
    }
