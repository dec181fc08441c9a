"""A job: so many texts from one model into one folder, shard by shard, each exactly once.

    job.json                  what was asked for; another job is refused the folder
    texts-00000.parquet …     the shards, written whole
    .done/texts-00000.json    a shard's completion record: digest, counts, figures
    manifest.json             last: the job, the records, the totals
    gallery.png               for colours

A folder without a manifest is unfinished; the same call finishes it.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict

from rnnlm import __version__, checkpoint
from rnnlm.checkpoint import LoadedModel
from rnnlm.config import GenerationConfig
from rnnlm.corpora.documents import iter_texts
from rnnlm.errors import GenerationError
from rnnlm.generation import gallery
from rnnlm.generation.engine import GeneratedText, generate_texts
from rnnlm.generation.forms import Color, essence, essences, is_valid, parse_color
from rnnlm.progress import OnProgress, Progress, silent
from rnnlm.storage import atomic_path, file_digest, value_digest, write_json

JOB_FILE = "job.json"
MANIFEST_FILE = "manifest.json"
GALLERY_FILE = "gallery.png"
GALLERY_COLORS = 200
EXAMPLES = 20
TEXTS_SCHEMA = pa.schema(
    [
        pa.field("id", pa.int64(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        pa.field("tokens", pa.int64(), nullable=False),
        pa.field("log_prob_nats", pa.float64(), nullable=False),
        pa.field("prefix", pa.string(), nullable=False),
        pa.field("seed", pa.int64(), nullable=False),
    ]
)


class TextDataSet(BaseModel):
    """What a job made.

    Attributes:
        uri: Folder that holds the shards and the manifest.
        digest: sha256 over the shards' digests, in order.
        count: Texts.
        characters: Characters in all texts.
        form: What a text should be; see `CorpusConfig.form`.
        valid_share: Share of texts that are what the form says.
        copied_share: Share of texts whose essence (a colour's name, else the whole text) stands in
            the training split; None where that split was not at hand.
        complete_share: Share of texts that ended by themselves.
        gallery: Path of the picture; None for free text.
        examples: The first valid texts; the first of all where none is valid.
    """

    model_config = ConfigDict(frozen=True)

    uri: str
    digest: str
    count: int
    characters: int
    form: str
    valid_share: float
    copied_share: float | None
    complete_share: float
    gallery: str | None
    examples: list[str]


def generate(
    checkpoint_path: Path,
    config: GenerationConfig,
    out: Path,
    form: str,
    corpus_uri: str | None = None,
    on_progress: OnProgress = silent,
) -> TextDataSet:
    """Generate a data set into `out`, or finish the one that an earlier call left unfinished.

    Args:
        checkpoint_path: The model.
        config: How many texts, how sampled, in which format.
        out: Folder of this job alone; made if need be.
        form: What a text should be; see `CorpusConfig.form`.
        corpus_uri: Folder that `ingest` wrote, to find copies of the training split; optional.
        on_progress: Told the texts generated.

    Raises:
        CheckpointError: The model cannot be read.
        TokenizerError: The prefix has characters that the vocabulary lacks.
        GenerationError: `out` holds another job or other files.
        StorageError: A file cannot be written; finished shards stay.
    """
    loaded = checkpoint.load(checkpoint_path)
    job = {
        "checkpoint": file_digest(checkpoint_path),
        "generation": config.model_dump(),
        "form": form,
        "corpus": bool(corpus_uri),
    }
    if manifest := _finished(out, job):
        return TextDataSet.model_validate(manifest["data_set"])
    _claim(out, job)
    training = essences(form, iter_texts(corpus_uri, "train")) if corpus_uri else None
    records = []
    for shard in range(-(-config.count // config.shard_size)):
        record_path = out / ".done" / f"{_shard_name(config, shard)}.json"
        record = _finished_shard(out, record_path)
        if record is None:
            record = _write_shard(loaded, config, shard, out, form, training, on_progress)
            write_json(record_path, record)
        records.append(record)
        done = min(config.count, (shard + 1) * config.shard_size)
        on_progress(Progress(done, config.count, "texts"))
    data_set = _summary(out, config, form, records, known=training is not None)
    write_json(
        out / MANIFEST_FILE,
        {
            "job": job,
            "experiment": loaded.experiment.model_dump(),
            "rnnlm": __version__,
            "shards": records,
            "data_set": data_set.model_dump(),
        },
    )
    return data_set


def sample_texts(loaded: LoadedModel, config: GenerationConfig) -> list[GeneratedText]:
    """Return `config.count` texts in memory, by number."""
    texts = generate_texts(loaded.model, loaded.tokenizer, config, 0, config.count)
    return sorted(texts, key=lambda text: text.number)


def _finished(out: Path, job: dict[str, Any]) -> dict[str, Any] | None:
    path = out / MANIFEST_FILE
    if not path.is_file():
        return None
    manifest: dict[str, Any] = json.loads(path.read_text("utf-8"))
    if manifest.get("job") != job:
        raise GenerationError(_refusal(out))
    broken = [s for s in manifest["shards"] if not _is_intact(out / s["file"], s["sha256"])]
    drawn = manifest["data_set"]["gallery"]
    if broken or (drawn and not (out / GALLERY_FILE).is_file()):
        path.unlink()
        return None
    return manifest


def _claim(out: Path, job: dict[str, Any]) -> None:
    """Make `out` this job's folder."""
    path = out / JOB_FILE
    if path.is_file():
        if json.loads(path.read_text("utf-8")) != job:
            raise GenerationError(_refusal(out))
    elif out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise GenerationError(
            f"{out} holds other files (expected an empty or new folder); choose another --out"
        )
    else:
        write_json(path, job)


def _refusal(out: Path) -> str:
    return f"{out} holds another job's texts (see {JOB_FILE} there); choose another --out"


def _finished_shard(out: Path, record_path: Path) -> dict[str, Any] | None:
    if not record_path.is_file():
        return None
    record: dict[str, Any] = json.loads(record_path.read_text("utf-8"))
    return record if _is_intact(out / record["file"], record["sha256"]) else None


def _is_intact(path: Path, digest: str) -> bool:
    return path.is_file() and file_digest(path) == digest


def _shard_name(config: GenerationConfig, shard: int) -> str:
    return f"texts-{shard:05d}.{config.format}"


def _write_shard(
    loaded: LoadedModel,
    config: GenerationConfig,
    shard: int,
    out: Path,
    form: str,
    training: frozenset[str] | None,
    on_progress: OnProgress,
) -> dict[str, Any]:
    """Generate and write one shard; return its completion record."""
    first = shard * config.shard_size
    count = min(config.shard_size, config.count - first)
    texts = []
    for text in generate_texts(loaded.model, loaded.tokenizer, config, first, count):
        texts.append(text)
        on_progress(Progress(first + len(texts), config.count, "texts"))
    texts.sort(key=lambda text: text.number)
    path = out / _shard_name(config, shard)
    with atomic_path(path) as temporary:
        _WRITERS[config.format](texts, config, temporary)
    return {
        "file": path.name,
        "sha256": file_digest(path),
        "count": count,
        "characters": sum(len(text.text) for text in texts),
        "valid": sum(is_valid(form, text.text) for text in texts),
        "copied": sum(essence(form, text.text) in (training or ()) for text in texts),
        "complete": sum(text.complete for text in texts),
        "examples": _examples(form, texts),
        "colors": _colors(texts) if form == "color" else [],
    }


def _summary(
    out: Path,
    config: GenerationConfig,
    form: str,
    records: Sequence[dict[str, Any]],
    *,
    known: bool,
) -> TextDataSet:
    """Add the shards' records up, and draw the picture."""
    colors = [Color(*color) for record in records for color in record["colors"]][:GALLERY_COLORS]
    picture = out / GALLERY_FILE
    if colors:
        gallery.draw(colors, f"{len(colors)} invented colours", picture)
    return TextDataSet(
        uri=str(out),
        digest=value_digest([record["sha256"] for record in records]),
        count=config.count,
        characters=sum(record["characters"] for record in records),
        form=form,
        valid_share=sum(record["valid"] for record in records) / config.count,
        copied_share=sum(r["copied"] for r in records) / config.count if known else None,
        complete_share=sum(record["complete"] for record in records) / config.count,
        gallery=str(picture) if colors else None,
        examples=[text for record in records for text in record["examples"]][:EXAMPLES],
    )


def _colors(texts: Sequence[GeneratedText]) -> list[Color]:
    parsed = (parse_color(text.text) for text in texts[: 2 * GALLERY_COLORS])
    return [color for color in parsed if color][:GALLERY_COLORS]


def _examples(form: str, texts: Sequence[GeneratedText]) -> list[str]:
    """Return the first valid texts; a weak model still shows what it writes."""
    valid = [text.text for text in texts if is_valid(form, text.text)]
    return (valid or [text.text for text in texts])[:EXAMPLES]


def _rows(texts: Sequence[GeneratedText], config: GenerationConfig) -> Iterator[dict[str, Any]]:
    for text in texts:
        yield {
            "id": text.number,
            "text": text.text,
            "tokens": text.tokens,
            "log_prob_nats": text.log_prob_nats,
            "prefix": config.prefix,
            "seed": config.seed,
        }


def _write_parquet(texts: Sequence[GeneratedText], config: GenerationConfig, path: Path) -> None:
    table = pa.Table.from_pylist([*_rows(texts, config)], schema=TEXTS_SCHEMA)
    pq.write_table(table, path, compression="zstd")


def _write_jsonl(texts: Sequence[GeneratedText], config: GenerationConfig, path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for row in _rows(texts, config):
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def _write_txt(texts: Sequence[GeneratedText], _: GenerationConfig, path: Path) -> None:
    """One text a line; texts that hold line ends are set apart by blank lines instead."""
    between = "\n\n" if any("\n" in text.text for text in texts) else "\n"
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for text in texts:
            file.write(text.text + between)


_WRITERS = {"parquet": _write_parquet, "jsonl": _write_jsonl, "txt": _write_txt}
