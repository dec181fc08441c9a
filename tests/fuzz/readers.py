"""Targets that read grammars, texts, tables, archives and configs from strangers."""

import codecs
import io
import shutil
import zipfile
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from rnnlm import colors, config
from rnnlm.composing import compose, normalize
from rnnlm.config import CorpusConfig, SourceConfig, SplitConfig
from rnnlm.config.corpus import CleaningConfig
from rnnlm.constraints import compile_constraints, regex, rules_of
from rnnlm.corpora import columns, cutting, formats, recipes, rendering
from rnnlm.corpora.byte_ranges import cut_files
from rnnlm.corpora.cleaning import clean
from rnnlm.corpora.decoding import decode
from rnnlm.corpora.encodings import detect, detect_bytes
from rnnlm.corpora.fields import propose_text, value_at
from rnnlm.corpora.files import SourceFile, locate
from rnnlm.corpora.forms import is_valid, read
from rnnlm.corpora.hashing import word_hashes
from rnnlm.corpora.palettes import recognize_colors
from rnnlm.corpora.paragraphs import paragraphs
from rnnlm.corpora.reading import Counts, read_documents
from rnnlm.corpora.records import Fault
from rnnlm.corpora.tables import recognize_table, rows_of
from rnnlm.corpora.textual import recognize_layout
from rnnlm.corpora.unpacking import unpack
from rnnlm.corpora.unwrapping import unwrap
from rnnlm.tokenizer import BPETokenizer, CharacterTokenizer
from rnnlm.visible import visible, visible_html, visible_line

LETTERS = CharacterTokenizer("abcdefgh 0123456789\n.")
PIECES = BPETokenizer.learn(["the cat sat on the mat. " * 20], 280)
PROSE = (
    "It was a bright cold day in April, and the clocks were striking thirteen. He slipped\n"
    "quickly through the glass doors, though not quickly enough to prevent a swirl of dust\n"
    "from entering along with him.\n\nThe hallway smelt of boiled cabbage and old rag mats.\n"
)
RECIPE = recipes.render(
    recipes.Recipe(
        "Plain cake",
        ("Cakes", "Easy"),
        "4 servings",
        (recipes.Section("", (recipes.Ingredient("1 1/2", "c", "flour, sifted twice at least"),)),),
        ("Mix everything. Bake for an hour.",),
    )
)
EXPORT = (
    "MMMMM----- Recipe via Meal-Master (tm) v8.05\n \n" + RECIPE + "\n \nMMMMM\n\n"
    "---------- Recipe via Meal-Master (tm) v7.07\n \n" + RECIPE + "\n \n-----\n"
)
MARKDOWN = (
    "---\ntitle: Plain cake\ntags: [cake, easy]\n---\n# Cake\n\nServes: 4\n\n## Ingredients\n\n"
    "- 1 ½ cups of [flour](http://x)\n- salt\n\n## Directions\n\n1. Mix *everything*.\n2. Bake.\n"
)
JSON_LINES = '{"title": "one", "text": "some words", "tags": ["a", 1]}\n"only a text"\n'
TABLE = 'id,title,text\n1,"one, two",some words\n2,three,other words\n'
PALETTE = "Barely Pink #f1f2ee\nred, 255 0 0\n#fff white\n" * 3
TOML = (
    '[corpus]\nsource = "a.txt"\n[model]\nhidden_size = 8\n[training]\nbudget = "3 epochs"\n'
    '[generation]\ngrammar = "a*"\nbanned = ["x", "y"]\n'
)
CODECS = (
    "utf-8", "utf-16", "utf-32", "utf-7", "cp1252", "cp437", "shift_jis", "hz", "iso2022_jp",
    "gb18030", "base64", "zip",
    "bz2", "hex", "rot13", "uu", "quopri", "idna", "punycode", "undefined",
    "unicode_escape", "mbcs", "", "utf-8\0", "é", "x" * 500, "../os", "utf_8_sig", "big5", "koi8-r",
)  # fmt: skip


def grammar(pattern: str, _folder: Path) -> None:
    regex.CPU_SECONDS = 2  # a tenth of the usual, for speed; each target has its own process
    compile_constraints(LETTERS, grammar=pattern, max_length=20)


def run_strings(text: str, _folder: Path) -> None:
    parts = [part for part in text.split("|") if part]
    banned, required, stop = parts[::3], parts[1::3][:3], parts[2::3]
    for tokenizer in (LETTERS, PIECES):
        begins = ["", text[len(text) // 2 :]]
        automaton = compile_constraints(
            tokenizer, banned=banned, required=required, stop=stop, prefixes=begins, max_length=30
        )
        rules_of(tokenizer, begins, automaton, 30)


def run_file(suffix: str) -> Any:
    def run(data: bytes, folder: Path) -> None:
        path = folder / f"a{suffix}"
        path.write_bytes(data)
        corpus = CorpusConfig(
            source=str(path), bad_records="skip", condition=("title",), attributes=("title",)
        )
        scratch = folder / "scratch"
        shutil.rmtree(scratch, ignore_errors=True)
        files = [*unpack(locate(corpus, folder), scratch)]
        for shard in cut_files(files, corpus, whole=False):
            for piece in shard:
                for document in read_documents(piece, corpus, SplitConfig(), Counts()):
                    document.text.encode()

    return run


def run_unpacked(suffix: str) -> Any:
    def run(data: bytes, folder: Path) -> None:
        path = folder / f"a{suffix}"
        path.write_bytes(data)
        scratch = folder / "scratch"
        shutil.rmtree(scratch, ignore_errors=True)
        source = SourceConfig(path=str(path))
        for _ in unpack([SourceFile.of(path, source)], scratch):
            pass

    return run


def run_parsed(kind: str, form: str) -> Any:
    def run(text: str, _folder: Path) -> None:
        for record in formats.FORMATS[kind].parse(text):
            if not isinstance(record, Fault):
                run_rendered(form, record)

    return run


def run_rendered(form: str, record: Any) -> None:
    with suppress(rendering.UnusableRecordError):
        rendering.render(form, record, {})
    rendering.attribute(form, record, "category", {})


def run_layout(text: str, _folder: Path) -> None:
    if text.strip():
        layout = recognize_layout(text)
        [*cutting.records(text, layout.separator)]
    unwrap(text)


def run_cut(text: str, _folder: Path) -> None:
    bounds = paragraphs(text)
    word_hashes(text, bounds)
    assert "".join(text[a:b] for a, b in bounds.tolist()) == text
    [*cutting.passages(text, 500)]
    [*cutting.chapters(text)]
    [*cutting.paragraphs(text)]


_CLEANING = CleaningConfig(boilerplate=("gutenberg", "contents", "notes", "rules", "transcript"))


def run_cleaned(text: str, _folder: Path) -> None:
    clean(text, _CLEANING, Counter())


def run_composed(text: str, _folder: Path) -> None:
    assert compose(compose(text)) == compose(text)
    normalize("NFKD", text)


def run_visible(text: str, _folder: Path) -> None:
    for shown in (visible(text), visible_line(text), visible_html(text)):
        shown.encode()
        assert all(c in "\n\t" or (c >= " " and not "\x7f" <= c <= "\x9f") for c in shown)
        assert not {*shown} & {*"\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u2028"}
    assert "<" not in visible_html(text)


def run_decoded(data: bytes, _folder: Path) -> None:
    decode(data, detect_bytes(data), "x")


def run_named_codec(data: bytes, folder: Path) -> None:
    name = CODECS[data[0] % len(CODECS)] if data else "utf-8"
    path = folder / "a.txt"
    path.write_bytes(data)
    decode(data, detect(path, name), "x")
    codecs.lookup(name)


def run_fields(record: Any, _folder: Path) -> None:
    records = [record if isinstance(record, dict) else {"text": record}] * 6
    if isinstance(formats._as_record(records[0], 0), Fault):
        return
    propose_text(records)
    recognize_colors(records)
    for path in ("a.b", "tags[]", "tags[0].x", "title", "", "[]"):
        value_at(records[0], path)
    for form in ("color", "recipe", "{title}: {text}"):
        with suppress(ValueError):
            run_rendered(form, records[0])


def run_line(text: str, _folder: Path) -> None:
    rendering.ingredient(text)
    rendering.plain(text)
    colors.parse(text)
    formats.color_line(text)
    with suppress(rendering.UnusableRecordError):
        rendering.rgb(text)
    read("color", text)


def run_recipe(text: str, _folder: Path) -> None:
    with suppress(recipes.BrokenRecipeError):
        recipes.render(recipes.parse(text))
    is_valid("recipe", text)


def run_table(text: str, _folder: Path) -> None:
    [*rows_of(text, recognize_table(text))]


def run_toml(text: str, folder: Path) -> None:
    path = folder / "a.toml"
    path.write_text(text, "utf-8", errors="surrogatepass")
    config.load(path, [])


def run_override(text: str, _folder: Path) -> None:
    config.from_values({"name": "x", "corpus": {"source": "x"}}, [text], origin="x")


def run_parquet(data: bytes, folder: Path) -> None:
    path = folder / "a.parquet"
    path.write_bytes(data)
    columns.row_group_sizes(path, "a.parquet")
    [*columns.read_rows(path, "a.parquet", 100)]


def run_source(text: str, folder: Path) -> None:
    name = text.replace("/", "").replace("..", "")  # no address, and nothing outside the folder
    values = {"name": "x", "corpus": {"source": f"{folder}/{name}"}}
    locate(config.from_values(values, origin="x").corpus, folder)


def archive(method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Return a small archive."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as packed:
        packed.writestr("a/one.txt", PROSE)
        packed.writestr("two.jsonl", JSON_LINES * 3)
    return buffer.getvalue()


def parquet_bytes() -> bytes:
    """Return a small Parquet file with columns of several types."""
    buffer = io.BytesIO()
    table = pa.table(
        {
            "text": ["some words", "é", None] * 20,
            "n": [1, 2, 3] * 20,
            "when": pa.array([0, 1, 2] * 20, pa.timestamp("us")),
            "odd.name[0]": pa.array([[1, 2], [], None] * 20),
            "map": pa.array([[("a", 1)], [], None] * 20, pa.map_(pa.string(), pa.int64())),
        }
    )
    pq.write_table(table, buffer, row_group_size=20, compression="snappy")
    return buffer.getvalue()
