"""Compute with every build of the native code, and write the results: a script for test_arm64.py.

It runs in Pythons for two architectures, of which one has no torch. Arguments: a folder of packed
models, a folder of texts, and a new folder for the results.
"""

import hashlib
import json
import platform
import sys
from ctypes import c_long, c_void_p
from pathlib import Path

import numpy as np
import pyarrow as pa

from rnnlm.config import CorpusConfig, GenerationConfig, SplitConfig
from rnnlm.corpora import compiled, shingling
from rnnlm.corpora.files import locate
from rnnlm.corpora.ingestion import ingest
from rnnlm.corpora.shingling import shingle_hashes
from rnnlm.engine import packed
from rnnlm.engine.opening import run
from rnnlm.engine.texts import Decoder, rows
from rnnlm.kernels import native, slots
from rnnlm.kernels.slots import in_order

STEPS, LANES, HIDDEN = 5, 11, 34


def draw(path: Path) -> dict[str, object]:
    """Return the texts that a model draws, and a digest of all that it returns for them."""
    model = packed.load(path)
    assert model is not None
    config = GenerationConfig(
        temperature=1.0, max_length=40, top_p=0.9, min_length=5, prefix="ab c"
    )
    ended = in_order(run(model.open_slots(config, None), 3, 40))
    digest = hashlib.sha256()
    for name in slots.EndedTexts.__dataclass_fields__:
        digest.update(getattr(ended, name).tobytes())
    texts = [text.text for text in rows(ended, Decoder(model.tokenizer, [""]))]
    return {"digest": digest.hexdigest(), "texts": texts}


def train_step(build: str, dtype: type) -> dict[str, np.ndarray]:
    """Return what the loops of an LSTM compute, forward and backward, for random numbers."""
    library, random = native.load(build), np.random.default_rng(0)

    def normal(*shape: int) -> np.ndarray:
        return random.standard_normal(shape, np.float32)

    def call(name: str, *arrays: np.ndarray | None) -> None:
        given = (None if array is None else array.ctypes.data for array in arrays)
        sizes = map(c_long, (STEPS, LANES, 0, LANES, HIDDEN))
        getattr(library, name)(*sizes, *map(c_void_p, given))

    def packing(matrix: np.ndarray) -> np.ndarray:
        bits = (matrix.view(np.uint32) >> 16).astype(np.uint16)
        return native.blocks(matrix if dtype == np.float32 else bits)

    def halves(*shape: int) -> np.ndarray | None:
        return None if dtype == np.float32 else np.zeros(shape, dtype)

    weight, projected = normal(4 * HIDDEN, HIDDEN), normal(STEPS, LANES, 4 * HIDDEN)
    gates = np.zeros((STEPS, LANES, native.padded(4 * HIDDEN)), np.float32)
    cells, outputs = np.zeros((2, STEPS + 1, LANES, HIDDEN), np.float32)
    upward = packing(np.ascontiguousarray(weight.T))
    made = gates, cells, outputs, halves(STEPS + 1, LANES, HIDDEN)
    call("lstm_forward", projected, upward, *made)
    grad_state = np.zeros((LANES, native.padded(HIDDEN)), np.float32)
    grad_cell, grad_gates = normal(LANES, HIDDEN), np.zeros_like(projected)
    back = grad_state, grad_cell, grad_gates, halves(STEPS, LANES, 4 * HIDDEN)
    call("lstm_backward", normal(STEPS, LANES, HIDDEN), packing(weight), gates, cells, *back)
    return {"outputs": outputs[1:], "cells": cells[1:], "grads": grad_gates, "last": grad_cell}


def read(path: Path, out: Path) -> list[str]:
    """Return the digests of the corpus that is made from a file, and of its shingles."""
    config = CorpusConfig.model_validate({"source": str(path), "clean": {"near_duplicates": 0}})
    splits = SplitConfig(validation=0.2, test=0.2)
    made = ingest(locate(config, out / "cache"), config, splits, out / path.name).digest
    content = pa.array([path.read_text("utf-8", errors="replace")], pa.large_string())
    hashes, _ = shingle_hashes(content)
    return [made, hashlib.sha256(hashes.tobytes()).hexdigest()]


def main(models: Path, texts: Path, out: Path) -> None:
    """Write `results.json`, and `BUILD-PRECISION.npz` for each step of training."""
    drawn: dict[str, dict[str, object]] = {}
    for build in native.names():
        slots.library = lambda build=build: native.load(build)
        drawn[build] = {path.stem: draw(path) for path in sorted(models.rglob("*.safetensors"))}
        for name, dtype in (("fp32", np.float32), ("bf16", np.uint16)):
            np.savez(out / f"{build}-{name}.npz", **train_step(build, dtype))
    found = {
        "machine": platform.machine(),
        "builds": native.names(),
        "drawn": drawn,
        "compiled": None not in (compiled.text, compiled.cutting, shingling._library()),
        "read": {path.name: read(path, out) for path in sorted(texts.iterdir())},
    }
    (out / "results.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
