"""All targets of the fuzzer, each with its first inputs and its share of the cases."""

import bz2
import gzip
import json
import zipfile

import pyarrow as pa
from hypothesis import strategies as st

from rnnlm.corpora.front_matter import split_front_matter
from tests.fuzz import own_files, readers
from tests.fuzz.inputs import texts, texts_like, vary_bytes, vary_text, vary_value
from tests.fuzz.target import Target


def _bytes(*seeds: bytes) -> st.SearchStrategy[bytes]:
    return st.sampled_from(seeds) | st.binary(max_size=200)


_NOISE = bytes(range(256)) * 8
_RECORD = json.loads(readers.JSON_LINES.split("\n", maxsplit=1)[0])

TARGETS = [
    Target(
        "grammar",
        texts_like("a{1,3}(b|c)*", "[a-z]+\\d", "(?i)é.", "^a$"),
        vary_text,
        readers.grammar,
        0.02,
        8,
    ),
    Target("strings", texts_like("ab|cd|ef", "the| cat|."), vary_text, readers.run_strings, 0.08),
    Target(
        "zip",
        _bytes(
            readers.archive(),
            readers.archive(zipfile.ZIP_LZMA),
            readers.archive(zipfile.ZIP_STORED),
        ),
        vary_bytes,
        readers.run_unpacked(".zip"),
        0.4,
    ),
    Target(
        "gzip",
        _bytes(gzip.compress(readers.PROSE.encode()), gzip.compress(_NOISE)),
        vary_bytes,
        readers.run_unpacked(".txt.gz"),
        0.4,
    ),
    Target(
        "bzip2",
        _bytes(bz2.compress(readers.PROSE.encode())),
        vary_bytes,
        readers.run_unpacked(".txt.bz2"),
        0.2,
    ),
    Target(
        "zstd",
        _bytes(pa.compress(readers.PROSE.encode(), "zstd", asbytes=True)),
        vary_bytes,
        readers.run_unpacked(".txt.zst"),
        0.2,
    ),
    Target(
        "lz4",
        _bytes(pa.compress(readers.PROSE.encode(), "lz4", asbytes=True)),
        vary_bytes,
        readers.run_unpacked(".txt.lz4"),
        0.2,
    ),
    Target(
        "encodings",
        _bytes(readers.PROSE.encode(), readers.PROSE.encode("utf-16"), "Ünïcödé".encode("cp1252")),
        vary_bytes,
        readers.run_decoded,
        0.3,
    ),
    Target(
        "named codecs",
        _bytes(readers.PROSE.encode(), bytes(range(256))),
        vary_bytes,
        readers.run_named_codec,
        0.4,
    ),
    Target(
        "text file",
        _bytes(
            readers.PROSE.encode(),
            readers.PALETTE.encode(),
            ("var x = " + readers.JSON_LINES).encode(),
        ),
        vary_bytes,
        readers.run_file(".txt"),
        0.5,
    ),
    Target(
        "JSON file",
        _bytes(f"[{readers.JSON_LINES.splitlines()[0]}]".encode()),
        vary_bytes,
        readers.run_file(".json"),
        0.3,
    ),
    Target(
        "JSON lines file",
        _bytes(readers.JSON_LINES.encode()),
        vary_bytes,
        readers.run_file(".jsonl"),
        0.3,
    ),
    Target("CSV file", _bytes(readers.TABLE.encode()), vary_bytes, readers.run_file(".csv"), 0.3),
    Target("Parquet file", _bytes(readers.parquet_bytes()), vary_bytes, readers.run_parquet, 0.4),
    Target(
        "MealMaster file",
        _bytes(readers.EXPORT.encode()),
        vary_bytes,
        readers.run_file(".mmf"),
        0.3,
    ),
    Target(
        "JSON",
        texts_like(readers.JSON_LINES, f"[{readers.JSON_LINES.splitlines()[0]}]"),
        vary_text,
        readers.run_parsed("json", "{title}"),
        10,
    ),
    Target(
        "JSON lines",
        texts_like(readers.JSON_LINES),
        vary_text,
        readers.run_parsed("jsonl", "{text}"),
        10,
    ),
    Target(
        "tables",
        texts_like(readers.TABLE, readers.TABLE.replace(",", "\t")),
        vary_text,
        readers.run_table,
        8,
    ),
    Target(
        "colours", texts_like(readers.PALETTE), vary_text, readers.run_parsed("colors", "color"), 8
    ),
    Target(
        "Markdown",
        texts_like(readers.MARKDOWN),
        vary_text,
        readers.run_parsed("markdown", "recipe"),
        0.4,
    ),
    Target(
        "MealMaster",
        texts_like(readers.EXPORT),
        vary_text,
        readers.run_parsed("mealmaster", "recipe"),
        2,
    ),
    Target("recipes", texts_like(readers.RECIPE), vary_text, readers.run_recipe, 2),
    Target(
        "front matter",
        texts_like(readers.MARKDOWN, "---\na: &x [1]\nb: *x\n---\n"),
        vary_text,
        lambda t, _: split_front_matter(t),
        0.7,
    ),
    Target(
        "lines",
        texts_like("1 ½ cups of flour", "red 255 0 0", "#fff"),
        vary_text,
        readers.run_line,
        10,
    ),
    Target(
        "fields",
        st.just(_RECORD)
        | st.recursive(
            st.none() | st.booleans() | st.text(max_size=5),
            lambda s: st.lists(s, max_size=3) | st.dictionaries(st.text(max_size=3), s, max_size=3),
            max_leaves=8,
        ),
        vary_value,
        readers.run_fields,
        6,
    ),
    Target(
        "layout",
        texts_like(readers.PROSE, readers.PALETTE, "one\n\ntwo\n\n" * 5),
        vary_text,
        readers.run_layout,
        1,
    ),
    Target("cutting", texts_like(readers.PROSE), vary_text, readers.run_cut, 1),
    Target("cleaning", texts_like(readers.PROSE, "Ã©tÃ© " * 5), vary_text, readers.run_cleaned, 1),
    Target("normalisation", texts_like("e\u0301\u0316a"), vary_text, readers.run_composed, 5),
    Target("showing", texts(), vary_text, readers.run_visible, 10),
    Target("config", texts_like(readers.TOML), vary_text, readers.run_toml, 0.8),
    Target(
        "--set",
        texts_like("model.hidden_size=3", "training.budget='30 s'"),
        vary_text,
        readers.run_override,
        2,
    ),
    Target(
        "source names", texts_like("a.txt", "x://y", "*.txt"), vary_text, readers.run_source, 0.3
    ),
    *own_files.TARGETS,
]
