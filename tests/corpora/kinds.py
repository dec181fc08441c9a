"""Functions that generate input files as users have them, each with the documents that it holds.

Each function draws names, delimiters and sentences from the generator that it is given.
"""

import csv
import io
import json
import random
import textwrap
from collections.abc import Callable
from typing import NamedTuple

WORDS = (
    "stone", "river", "lantern", "copper", "window", "garden", "silver", "meadow", "winter",
    "harbour", "candle", "orchard", "thunder", "velvet", "market", "island", "feather", "morning",
    "shadow", "timber", "needle", "basket", "kettle", "mirror", "saddle",
)  # fmt: skip
VERBS = ("opens", "follows", "carries", "watches", "forgets", "mends", "paints", "borrows")


class Made(NamedTuple):
    """A generated file.

    Attributes:
        name: Name of the file.
        content: Text of the file.
        documents: The documents that a careful reader would find in it.
    """

    name: str
    content: str
    documents: list[str]


def sentence(chance: random.Random, comma: bool = False) -> str:
    a, b, c = chance.sample(WORDS, 3)
    more = f", and the {c} waits" if comma else ""
    return f"The {a} {chance.choice(VERBS)} the {b}{more}"


def sentences(chance: random.Random, count: int, *, comma: bool = False) -> list[str]:
    return [f"{sentence(chance, comma)} {number}" for number in range(count)]


def one_column(chance: random.Random) -> Made:
    """Write a CSV file with a single column, whose unquoted values hold commas."""
    rows = sentences(chance, 80, comma=True)
    rows = [row + ", again" * chance.randrange(2) for row in rows]
    header = chance.choice(["text", "tweet", "Comment", "message"])
    return Made("one.csv", "\n".join([header, *rows]) + "\n", rows)


def without_header(chance: random.Random) -> Made:
    """Write a CSV file without a header, whose quoted values hold line ends."""
    rows = [f'{first}?\nYes, "{second}".' for first, second in zip(
        sentences(chance, 60), sentences(chance, 60), strict=True
    )]  # fmt: skip
    out = io.StringIO()
    csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows([row] for row in rows)
    return Made("jokes.csv", out.getvalue(), rows)


def european(chance: random.Random) -> Made:
    """Write a CSV file separated by semicolons, tabs or bars, in which commas are decimal marks."""
    delimiter = chance.choice([";", "\t", "|"])
    rows = sentences(chance, 70, comma=True)
    names = chance.choice([["id", "beschreibung", "preis"], ["nom", "texte", "note"]])
    lines = [
        delimiter.join([chance.choice(WORDS), row, f"{chance.randrange(9)},{chance.randrange(9)}"])
        for row in rows
    ]
    return Made("table.csv", "\n".join([delimiter.join(names), *lines]) + "\n", rows)


def nested(chance: random.Random) -> Made:
    """Write JSON lines whose text is nested two or three levels deep."""
    rows = sentences(chance, 50)
    path = chance.choice([["data", "body"], ["post", "meta", "content"], ["payload", "message"]])
    lines = []
    for number, row in enumerate(rows):
        value: object = row
        for key in reversed(path):
            value = {key: value, "kind": chance.choice(["a", "b"])}
        lines.append(json.dumps({"id": f"r{number}", **value}))  # type: ignore[dict-item]
    return Made("posts.jsonl", "\n".join(lines) + "\n", rows)


def messages(chance: random.Random) -> Made:
    """Write JSON lines, each a conversation: a list of messages."""
    role, content = chance.choice([("role", "content"), ("from", "value"), ("speaker", "text")])
    pairs = [*zip(sentences(chance, 40), sentences(chance, 40), strict=True)]
    outer = chance.choice(["messages", "conversations", "turns"])
    lines = [
        json.dumps({outer: [{role: "user", content: a}, {role: "assistant", content: b}]})
        for a, b in pairs
    ]
    return Made("chat.jsonl", "\n".join(lines) + "\n", [f"{a}\n{b}" for a, b in pairs])


def wrapped_records(chance: random.Random) -> Made:
    """Write a JSON object that holds a list of records and their count."""
    rows = sentences(chance, 40)
    key = chance.choice(["items", "data", "results", "rows"])
    value = {"count": len(rows), key: [{"id": n, "text": row} for n, row in enumerate(rows)]}
    return Made("export.json", json.dumps(value), rows)


def archive(chance: random.Random) -> Made:
    """Write a JavaScript file that assigns a list of records to a variable."""
    rows = sentences(chance, 40)
    variable = chance.choice(["window.YTD.tweets.part0", "window.posts", "var items"])
    value = [{"tweet": {"id": str(n), "full_text": row}} for n, row in enumerate(rows)]
    return Made("tweets.js", f"{variable} = {json.dumps(value, indent=1)};\n", rows)


def strings(chance: random.Random) -> Made:
    """Write a JSON list of strings."""
    rows = sentences(chance, 40)
    return Made("list.json", json.dumps(rows, indent=chance.choice([None, 2])), rows)


def marked(chance: random.Random) -> Made:
    """Write records between markers."""
    start, end = chance.choice(
        [("<|startoftext|>", "<|endoftext|>"), ("", "<|endoftext|>"), ("<s>", "</s>")]
    )
    rows = ["\n".join(sentences(chance, 3)) + f" {n}" for n in range(40)]
    return Made("marked.txt", "".join(f"{start}{row}{end}\n" for row in rows), rows)


def ruled(chance: random.Random) -> Made:
    """Write records separated by a rule, such as `---`."""
    rule = chance.choice(["%", "---", "=====", "***", "~~~~"])
    rows = ["\n".join(sentences(chance, chance.randint(1, 4))) + f" {n}" for n in range(40)]
    return Made("fortunes.txt", f"\n{rule}\n".join(rows) + "\n", rows)


def keyed(chance: random.Random) -> Made:
    """Write records of several lines that begin with the same key, separated by blank lines."""
    key = chance.choice(["Name", "Title", "Card"])
    rows = [
        f"{key}: {chance.choice(WORDS)} {n}\n" + "\n".join(sentences(chance, chance.randint(1, 3)))
        for n in range(40)
    ]
    return Made("cards.txt", "\n\n".join(rows) + "\n", rows)


def framed(chance: random.Random) -> Made:
    """Write one-line records that begin with a symbol, separated by blank lines."""
    frame = chance.choice("|{@$")
    rows = [f"{frame}{chance.choice(WORDS)}{frame}{n}{frame} {sentence(chance)}" for n in range(50)]
    return Made("frames.txt", "\n\n".join(rows) + "\n", rows)


def poems(chance: random.Random) -> Made:
    """Write poems of equal length, separated by blank lines."""
    size = chance.choice([4, 5, 14])
    rows = [
        "\n".join(sentence(chance) + chance.choice([",", ";", "", "."]) for _ in range(size))
        for _ in range(30)
    ]
    return Made("poems.txt", "\n\n".join(rows) + "\n", rows)


def games(chance: random.Random) -> Made:
    """Write chess games in PGN."""
    rows = [
        f'[Event "Open {n}"]\n[Site "{chance.choice(WORDS)}"]\n\n1. e4 e5 2. Nf3 Nc6 {n} *'
        for n in range(30)
    ]
    return Made("games.pgn", "\n\n".join(rows) + "\n", rows)


def _hex(chance: random.Random) -> tuple[str, str]:
    red, green, blue = (chance.randrange(256) for _ in range(3))
    return f"#{red:02x}{green:02x}{blue:02x}", f"{red} {green} {blue}"


def palette(chance: random.Random) -> Made:
    """Write colours in one of the formats that users have."""
    names = [
        f"{chance.choice(WORDS).title()} {chance.choice(WORDS).title()} {n}" for n in range(60)
    ]
    names = [name.rstrip("0123456789 ") + "abcdefghij"[n % 10] for n, name in enumerate(names)]
    codes = [_hex(chance) for _ in names]
    triples = [f"{name} {rgb}" for name, (_, rgb) in zip(names, codes, strict=True)]
    pairs = [*zip(names, codes, strict=True)]
    ways: list[tuple[str, Callable[[], str]]] = [
        ("a.txt", lambda: "\n".join(triples)),
        ("b.txt", lambda: "\n".join(f"{name} {code}" for name, (code, _) in pairs)),
        ("c.txt", lambda: "\n".join(f"{code}\t{name}" for name, (code, _) in pairs)),
        ("d.json", lambda: json.dumps([{"name": n, "hex": c} for n, (c, _) in pairs])),
        ("e.json", lambda: json.dumps({n: c for n, (c, _) in pairs})),
        (
            "f.json",
            lambda: json.dumps(
                [{"title": n, "rgb": dict(zip("rgb", map(int, v.split()), strict=True))}
                 for n, (_, v) in pairs]
            ),
        ),
        ("g.csv", lambda: "name,hex\n" + "\n".join(f"{n},{c}" for n, (c, _) in pairs)),
        (
            "h.csv",
            lambda: "name,red,green,blue\n"
            + "\n".join(f"{n},{v.replace(' ', ',')}" for n, (_, v) in pairs),
        ),
    ]  # fmt: skip
    name, write = chance.choice(ways)
    return Made(name, write() + "\n", triples)


def prose(chance: random.Random) -> Made:
    """Write hard-wrapped paragraphs, separated by blank lines or by indented first lines."""
    width = chance.choice([60, 65, 72, 78])
    paragraphs = [
        " ".join(sentence(chance, comma=True) + "." for _ in range(chance.randint(2, 7)))
        for _ in range(120)
    ]
    if chance.random() < 0.5:
        wrapped = [textwrap.fill(paragraph, width) for paragraph in paragraphs]
        return Made("book.txt", "\n\n".join(wrapped) + "\n", paragraphs)
    wrapped = [textwrap.fill(paragraph, width, initial_indent="    ") for paragraph in paragraphs]
    return Made("book.txt", "\n".join(wrapped) + "\n", paragraphs)


RECORDS = (
    one_column, without_header, european, nested, messages, wrapped_records, archive, strings,
    marked, ruled, keyed, framed, poems, games, palette,
)  # fmt: skip
