"""Write a model as one web page that draws texts with it, without a server or a network.

The page holds the model's packed network with 8-bit weights, the tables of its tokenizer, and
the sampling engine (slots.c) as WebAssembly. All arithmetic is the same as in native code, so the
page draws the same texts as `rnnlm generate` with the same seed and 8 bits. The files in `web/` are
the page's own code; web/page.html says where each part goes.

A model is stored as a JSON description and arrays, end to end, compressed together. The bytes of
arrays are regrouped (first bytes of all items, then second bytes, …), so that they compress better.
"""

from __future__ import annotations

import base64
import html
import json
import zlib
from importlib import resources
from string import Template
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnlm.checkpoint import LoadedModel
from rnnlm.play.describing import Named, describe

WORKER_FILES = (
    "sampler.js",
    "tokenizers.js",
    "healing.js",
    "writer.js",
    "worker.js",
)  # in the order in which they build on each other
PAGE_FILES = ("colors.js", "page.js")
_LEVEL = 6
"""Level of compression; 9 takes twice as long for 0.1% less."""


def write_page(loaded: LoadedModel, named: Named) -> bytes:
    """Return the web page of a model, in UTF-8.

    Args:
        loaded: The model; not modified.
        named: What the page calls the model.

    Raises:
        GenerationError: The model cannot be packed, so that the page could not run it.
        CheckpointError: A weight is not a finite number.
    """
    description, arrays = describe(loaded, named)
    parts = {
        "title": html.escape(named.name),
        "summary": html.escape(description.pop("summary")),
        "style": _read("page.css"),
        "model": _base64(packed(description, arrays)),
        "engine": _base64(engine()),
        "worker": "".join(map(_read, WORKER_FILES)),
        "script": "".join(map(_read, PAGE_FILES)),
    }
    return Template(_read("page.html")).substitute(parts).encode()


def packed(description: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> bytes:
    """Return a model as the bytes that `readModel` in web/sampler.js reads.

    Args:
        description: What can be written as JSON.
        arrays: The arrays by name.
    """
    listed = [
        {"name": name, "bytes": array.nbytes, "item": array.itemsize}
        for name, array in arrays.items()
    ]
    header = json.dumps({**description, "arrays": listed}, ensure_ascii=False).encode()
    length = len(header).to_bytes(4, "little")
    return zlib.compress(b"".join([length, header, *map(_shuffled, arrays.values())]), _LEVEL)


def engine() -> bytes:
    """Return the sampling engine as WebAssembly; `make wasm` builds it from one_text.c."""
    return resources.files("rnnlm.play").joinpath("one_text.wasm").read_bytes()


def _shuffled(array: NDArray[Any]) -> bytes:
    data = np.ascontiguousarray(array).reshape(-1).view(np.uint8).reshape(-1, array.itemsize)
    return data.T.tobytes()


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _read(name: str) -> str:
    return resources.files("rnnlm.play").joinpath("web", name).read_text("utf-8")
