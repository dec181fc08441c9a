"""Targets that read the program's own files, which may be damaged or forged."""

import io
import json
import shutil
import struct
import tempfile
from contextlib import suppress
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st

from flows.chain.records import RECORD_FILE, Step, read_step_record
from flows.cleanup import step_folders
from flows.transfer import contents
from rnnlm import archive, checkpoint, dataset, tokenizer
from rnnlm.bases.windows import windows_of
from rnnlm.checksums import once
from rnnlm.config import SourceConfig
from rnnlm.corpora import documents
from rnnlm.corpora.files import SourceFile, digest
from rnnlm.corpora.ingestion import Corpus
from rnnlm.engine import packed
from rnnlm.engine.loading import load_sampler
from rnnlm.engine.packed import packed_path
from rnnlm.errors import CheckpointError, DamagedFileError, TokenizerError
from rnnlm.generation import job_folder as folders
from rnnlm.generation.publishing import PublishedRecord
from rnnlm.generation.shard_sampling import DrawnRecord
from rnnlm.models import build
from rnnlm.report import read_report
from rnnlm.saved import read_array, read_arrays, read_json
from rnnlm.storage import file_digest
from rnnlm.tokenizer import BPETokenizer, ByteTokenizer, CharacterTokenizer, WordTokenizer
from rnnlm.training import run_state
from rnnlm.training.growth import read_growth
from rnnlm.training.history import read_history
from tests.conftest import tiny_experiment
from tests.fuzz.inputs import vary_bytes, vary_value
from tests.fuzz.target import Target
from tests.generation.jobs import run, saved_model

TOKENIZERS = [
    kind.to_json()
    for kind in (
        ByteTokenizer(),
        CharacterTokenizer("abc ß"),
        WordTokenizer(["a", " b", "c"], "pieces"),
        BPETokenizer.learn(["the cat sat on the mat. " * 20], 270),
    )
]
STEP = {
    "step": "ingest",
    "version": 4,
    "ingredients": {"corpus": {"source": "a.txt", "sources": []}, "source": "0" * 64},
    "seconds": 1.5,
    "files": {"a.bin": {"size": 3, "modified": 5, "sha256": "0" * 64}},
    "result": {
        **{
            name: {"train": 1, "validation": 1, "test": 1}
            for name in ("documents", "characters", "bytes")
        },
        "uri": "x",
        "digest": "0" * 64,
        "dropped": {},
        "cleaned": {},
        "encodings": {},
        "examples": {},
        "files": [],
    },
}


def _saved(value: Any) -> bytes:
    try:
        return json.dumps(value).encode("utf-8", "surrogatepass")
    except ValueError:  # a number with too many digits
        return b"9" * 5000


def header_of(data: bytes) -> tuple[dict[str, Any], bytes]:
    """Return the header of a safetensors file, and the bytes after it."""
    size = struct.unpack_from("<Q", data)[0]
    return json.loads(data[8 : 8 + size]), data[8 + size :]


def with_header(header: Any, body: bytes) -> bytes:
    """Return a safetensors file with a header, whatever the header says."""
    text = _saved(header)
    return struct.pack("<Q", len(text)) + text + body


@cache
def checkpoint_bytes() -> bytes:
    """Return the smallest checkpoint of a network."""
    with tempfile.TemporaryDirectory() as folder:
        experiment, letters = (
            tiny_experiment(model={"hidden_size": 3, "embedding_size": 2}),
            CharacterTokenizer("ab"),
        )
        path = Path(folder, "m.safetensors")
        network = build(experiment.model, letters.vocab_size)
        checkpoint.save(path, network, letters, experiment, asdict(run_state.Position()))
        checkpoint.save_small(path, path, {})
        return path.read_bytes()


@cache
def packed_bytes() -> bytes:
    """Return the packed form of the smallest checkpoint."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "m.safetensors")
        path.write_bytes(checkpoint_bytes())
        load_sampler(path, Path(folder))
        return packed_path(Path(folder), file_digest(path)).read_bytes()


def vary_checkpoint(data: bytes, how: bytes) -> bytes:
    """Return a checkpoint with a changed header, or changed bytes."""
    if how[7] % 2:
        return vary_bytes(data, how)
    header, body = header_of(data)
    if how[7] % 4:
        return with_header(vary_value(header, how), body)
    inner = json.loads(header["__metadata__"]["rnnlm"])
    with suppress(ValueError):
        header["__metadata__"]["rnnlm"] = json.dumps(vary_value(inner, how))
    return with_header(header, body)


def _checkpoint(data: bytes, folder: Path) -> None:
    path = folder / "m.safetensors"
    path.write_bytes(data)
    with suppress(CheckpointError):
        windows_of(path)
        run_state.read(path)
    checkpoint.load(path)


def _packed(data: bytes, folder: Path) -> None:
    path = folder / "p.safetensors"
    path.write_bytes(data)
    packed.load(path)


def _tokenizer(value: Any, _folder: Path) -> None:
    known = tokenizer.from_json(value)
    ids = known.encode("the cab ß sat")
    known.decode(ids.tolist())
    with suppress(TokenizerError):
        assert len(known.token_bytes()) == known.vocab_size
    tokenizer.from_json(known.to_json())


@cache
def job_folder() -> Path:
    """Return a folder with a finished job, made once in each process."""
    folder = Path(tempfile.mkdtemp())
    run(saved_model(folder / "m.safetensors", "abc 123"), folder / "out")
    return folder / "out"


def _manifest(value: Any, folder: Path) -> None:
    out = folder / "out"
    if not out.exists():
        shutil.copytree(job_folder(), out)
    known = json.loads((job_folder() / folders.MANIFEST_FILE).read_text())["job"]
    (out / folders.MANIFEST_FILE).write_bytes(_saved(value))
    (out / folders.CARD_FILE).unlink(missing_ok=True)
    folders.claim(out, known)


def _job(value: Any, folder: Path) -> None:
    (folder / folders.JOB_FILE).write_bytes(_saved(value))
    folders._check_folder(folder, {"form": "text"})


def _step(data: bytes, folder: Path) -> None:
    step = Step("ingest", 4, {}, Corpus, folder)
    step.folder.mkdir(exist_ok=True)
    (step.folder / RECORD_FILE).write_bytes(data)
    (step.folder / "a.bin").write_bytes(b"abc")
    read_step_record(step.folder / RECORD_FILE)
    step.recall()
    step.why()
    step_folders._folder(step.folder, read_step_record(step.folder / RECORD_FILE) or {})


def _shards(value: Any, folder: Path) -> None:
    path = folder / "a.json"
    path.write_bytes(_saved(value))
    for shape in (DrawnRecord, PublishedRecord):
        with suppress(DamagedFileError):
            read_json(path, shape, "")
    once(path, lambda: {"rows": 1}, dict[str, int])


def _lines(data: bytes, folder: Path) -> None:
    for name in ("history.jsonl", "growth.jsonl"):
        (folder / name).write_bytes(data)
    for row in read_history(str(folder)):
        assert row["step"] is not None
    read_growth(str(folder))


def _array(data: bytes, folder: Path) -> None:
    path = folder / "a.npy"
    path.write_bytes(data)
    read_array(path, "", mapped=bool(data[-1:] > b"\x7f"))


def _arrays(data: bytes, folder: Path) -> None:
    path = folder / "a.npz"
    path.write_bytes(data)
    read_arrays(path, ("documents", "characters"), "")


def _tokens(data: bytes, folder: Path) -> None:
    (folder / "tokens-train-00000.parquet").write_bytes(data)
    dataset.load_split(str(folder), "train")


def _documents(data: bytes, folder: Path) -> None:
    (folder / "documents-00000.parquet").write_bytes(data)
    [*documents.iter_texts(str(folder), "train")]


def _digests(data: bytes, folder: Path) -> None:
    (folder / "digests.json").write_bytes(data)
    (folder / "a.txt").write_bytes(b"abc")
    digest([SourceFile.of(folder / "a.txt", SourceConfig(path="a"))], folder)


def _report(data: bytes, folder: Path) -> None:
    (folder / "corpus.json").write_bytes(data)
    (folder / "report.json").write_bytes(data)
    read_report(str(folder))


_ORIGIN = {"name": "a", "version": 1, "checkpoint": "0" * 64, "aliases": ["champion"]}


@cache
def archive_bytes() -> bytes:
    """Return the archive of a version, with a file that is no model."""
    files: dict[str, Path | bytes] = {
        contents.CHECKPOINT: bytes(1000),
        contents.CARD: b"card",
        contents.VERSION: _saved(_ORIGIN),
        f"{contents.ARTIFACTS}review/review.html": b"<p>" * 100,
    }
    with tempfile.TemporaryDirectory() as name:
        archive.write(Path(name) / "x.zip", contents.FORMAT, files)
        return (Path(name) / "x.zip").read_bytes()


def _archive(content: bytes, folder: Path) -> None:
    (folder / "x.zip").write_bytes(content)
    opened = archive.Archive.open(folder / "x.zip", contents.FORMAT, contents.NAMES)
    opened.read(contents.VERSION, contents.Described)
    opened.unpack(folder / "unpacked")
    assert {p.name for p in folder.iterdir()} <= {"x.zip", "unpacked"}


def _origin(value: Any, folder: Path) -> None:
    archive.write(folder / "x.zip", contents.FORMAT, {contents.VERSION: _saved(value)})
    opened = archive.Archive.open(folder / "x.zip", contents.FORMAT, contents.NAMES)
    opened.read(contents.VERSION, contents.Described)


def npy() -> bytes:
    """Return an array as `.npy`."""
    buffer = io.BytesIO()
    np.save(buffer, np.arange(20.0).reshape(4, 5))
    return buffer.getvalue()


def npz() -> bytes:
    """Return two arrays as `.npz`."""
    buffer = io.BytesIO()
    np.savez(buffer, documents=np.arange(9.0), characters=np.arange(9))
    return buffer.getvalue()


@cache
def shards() -> tuple[bytes, bytes]:
    """Return a shard of documents and a shard of their tokens."""
    from tests.conftest import ingest_text, lines

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "a.txt").write_text(lines(60))
        corpus = ingest_text(folder / "a.txt", folder / "corpus", documents="lines")
        made = dataset.tokenize(
            corpus.uri, corpus.digest, tiny_experiment().tokenizer, folder / "tokens"
        )
        tokens = next(Path(made.uri).glob("tokens-train-*.parquet")).read_bytes()
        return next((folder / "corpus").glob("documents-*.parquet")).read_bytes(), tokens


def _values(*seeds: Any) -> st.SearchStrategy[Any]:
    return st.sampled_from(seeds)


def _deferred(make: Any) -> st.SearchStrategy[Any]:
    return st.deferred(lambda: st.just(make()))


def _manifest_value() -> Any:
    return json.loads((job_folder() / folders.MANIFEST_FILE).read_text())


_HISTORY = b'{"step": 1, "tokens": 10, "loss": 2.5}\n{"step": 2, "tokens": 20, "loss": NaN}\n'
_RECORD = {"job": "0" * 64, "sha256": "0" * 64, "count": 3}

TARGETS = [
    Target("checkpoints", _deferred(checkpoint_bytes), vary_checkpoint, _checkpoint, 0.3),
    Target("packed networks", _deferred(packed_bytes), vary_checkpoint, _packed, 0.3),
    Target("tokenizers", _values(*TOKENIZERS), vary_value, _tokenizer, 0.4),
    Target("manifests", _deferred(_manifest_value), vary_value, _manifest, 0.2),
    Target("jobs", _values({"form": "text", "generation": {"count": 3}}), vary_value, _job, 2),
    Target("records of steps", _values(_saved(STEP)), vary_bytes, _step, 0.5),
    Target("values in records", _values(STEP), vary_value, lambda v, f: _step(_saved(v), f), 0.5),
    Target("records of shards", _values(_RECORD, {"rows": 3}), vary_value, _shards, 0.5),
    Target("histories", _values(_HISTORY), vary_bytes, _lines, 3),
    Target("archives of models", _deferred(archive_bytes), vary_bytes, _archive, 0.4),
    Target("versions in archives", _values(_ORIGIN), vary_value, _origin, 0.4),
    Target("arrays", _values(npy()), vary_bytes, _array, 1),
    Target("archives of arrays", _values(npz()), vary_bytes, _arrays, 0.5),
    Target("token shards", _deferred(lambda: shards()[1]), vary_bytes, _tokens, 0.3),
    Target("document shards", _deferred(lambda: shards()[0]), vary_bytes, _documents, 0.3),
    Target("digests", _values(b'{"/a": [3, 5, "0"]}'), vary_bytes, _digests, 1),
    Target("reports", _values(b"{}", b'{"a": 1}'), vary_bytes, _report, 0.5),
]
