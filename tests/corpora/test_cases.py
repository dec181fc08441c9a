"""Test that awkward files, modelled on those of real users, are read correctly without settings.

`tests/cases/README.md` states the correct result for each file.
"""

import json
from pathlib import Path

import pytest

from rnnlm.autoconfig import advise
from rnnlm.config import CorpusConfig
from rnnlm.corpora import preview
from rnnlm.corpora.documents import iter_texts
from rnnlm.corpora.files import locate
from rnnlm.corpora.ingestion import Corpus, ingest
from rnnlm.corpora.splitting import SPLITS
from rnnlm.errors import CorpusError

CASES = Path(__file__).parents[1] / "cases"
NOTHING_MORE = ("training.base=none", "splits.validation=0.3", "splits.test=0.3")


def read(path: Path, out: Path, *settings: str) -> tuple[list[str], Corpus]:
    """Read a file as `rnnlm train FILE` does; return its sorted documents and the corpus."""
    experiment = advise(str(path), out / "cache", (*NOTHING_MORE, *settings)).experiment
    files = locate(experiment.corpus, out / "cache")
    corpus = ingest(files, experiment.corpus, experiment.splits, out / "corpus")
    return sorted(text for split in SPLITS for text in iter_texts(corpus.uri, split)), corpus


def documents(name: str, cache: Path) -> list[str]:
    """Return the documents of a file in order, including repetitions."""
    return [*preview.documents(CorpusConfig(source=str(CASES / name), documents="auto"), cache)]


@pytest.mark.parametrize(
    ("name", "codec", "expected"),
    [
        ("cp1252.txt", "cp1252", "“"),
        ("tweets-1252.txt", "cp1252", "…"),
        ("greek-1253.txt", "cp1253", "ά"),
        ("hebrew-1255.txt", "cp1255", "ש"),
        ("hungarian-1250.txt", "cp1250", "ő"),
        ("cp1251.txt", "cp1251", "о"),
        ("koi8.txt", "koi8-r", "о"),
        ("sjis.txt", "cp932", "の"),
        ("utf16-nobom.txt", "utf-16-le", "e"),
        ("utf8-one-bad.txt", "utf-8", "é"),
    ],
)
def test_encodings(tmp_path: Path, name: str, codec: str, expected: str):
    texts = documents(name, tmp_path)
    choices = advise(str(CASES / name), tmp_path, NOTHING_MORE).choices
    assert any(c.setting == "encoding" and c.value.startswith(codec) for c in choices)
    assert any(expected in text for text in texts)
    assert not any("\ufffd" in text for text in texts)
    want = (CASES / name).read_bytes().decode(codec, "ignore")
    lines = {line.rstrip() for line in want.split("\n") if line.strip()}
    assert len({*texts} & lines) >= len(lines) - 1


def test_one_bad_byte_is_repaired_and_its_line_reported(tmp_path: Path):
    _, corpus = read(CASES / "utf8-one-bad.txt", tmp_path)
    (where,) = corpus.examples["bytes that are no UTF-8 read as Windows-1252"]
    bad = [
        number
        for number, line in enumerate((CASES / "utf8-one-bad.txt").read_bytes().split(b"\n"), 1)
        if line.decode("utf-8", "replace").count("\ufffd")
    ]
    assert where.endswith(f"line {bad[0]:,}")


def test_each_poem_is_a_document_and_keeps_its_lines(tmp_path: Path):
    texts = documents("sonnets5.txt", tmp_path)
    assert len({*texts}) >= 3
    assert all(text.count("\n") == 13 for text in texts)


def test_source_text_keeps_its_lines(tmp_path: Path):
    texts, corpus = read(CASES / "paper.tex", tmp_path)
    assert "line ends unwrapped" not in corpus.cleaned
    lines = {line for text in texts for line in text.split("\n") if line}
    assert {line for line in (CASES / "paper.tex").read_text().split("\n") if line} == lines


def test_chords_stay_above_their_words(tmp_path: Path):
    texts, _ = read(CASES / "chords.txt", tmp_path)
    blocks = [block for block in (CASES / "chords.txt").read_text().split("\n\n") if block.strip()]
    assert {*texts} == {block.strip("\n").rstrip() for block in blocks}


def test_chinese_lines_that_share_an_opening_are_all_kept(tmp_path: Path):
    texts, corpus = read(CASES / "zh-lines.txt", tmp_path)
    lines = {line.rstrip() for line in (CASES / "zh-lines.txt").read_text().split("\n") if line}
    assert {*texts} == lines
    assert "near copy" not in corpus.dropped
    prose, corpus = read(CASES / "zh-prose.txt", tmp_path / "prose")
    assert "near copy" not in corpus.dropped
    whole = (CASES / "zh-prose.txt").read_text()
    assert sum(len("".join(text.split())) for text in prose) == len("".join(whole.split()))


def test_form_feeds_end_pages_and_no_line_is_lost(tmp_path: Path):
    texts, _ = read(CASES / "formfeed.txt", tmp_path)
    lines = (CASES / "formfeed.txt").read_text().replace("\f", "\n").split("\n")
    assert {*texts} == {line.rstrip() for line in lines if line.strip()}


@pytest.mark.parametrize(
    ("name", "count", "first"),
    [
        ("tweets-onecol.csv", None, "The broken nettle falls by the gentle sage, and the cedar"),
        ("jokes-noheader.csv", None, 'Why did the reed cross the road?\nTo see the "quiet" oak'),
        ("semi.csv", None, "The green grove walks by the old cedar, oui"),
        ("chat.jsonl", None, "Where is the sage?\nThe broken iris glows by the old sage."),
        ("list.json", None, "The sudden iris burns by the small umber."),
        ("cards.txt", 500, "|5creature|4|6nettle waits|7|8&^^/&^|9whenever @ rises"),
        ("markers.txt", None, "The sudden cedar sleeps by the cold ember.\nThe green amber"),
    ],
)
def test_records(tmp_path: Path, name: str, count: int | None, first: str):
    texts, corpus = read(CASES / name, tmp_path)
    assert any(text.startswith(first) for text in texts)
    assert not any("<|" in text or text in ("text", "texte") for text in texts)
    assert {*corpus.dropped} <= {"repeated"}
    if count:
        assert len(texts) == count


def test_escaped_surrogates_become_emoji_and_a_lone_one_is_reported_by_line(tmp_path: Path):
    path = CASES / "surrogate.jsonl"
    with pytest.raises(CorpusError, match=r"line \d+: half a character"):
        read(path, tmp_path / "a")
    texts, corpus = read(path, tmp_path / "b", "corpus.bad_records=skip")
    assert "The bright heath burns by the cold reed \U0001f600" in texts
    assert corpus.dropped["half a character"] == 1


def test_a_null_far_down_is_reported_by_line_and_can_be_skipped(tmp_path: Path):
    path = CASES / "null-later.jsonl"
    with pytest.raises(CorpusError, match=r"line 151: .*field `text` is null.*bad_records=skip"):
        read(path, tmp_path / "a")
    texts, corpus = read(path, tmp_path / "b", "corpus.bad_records=skip")
    assert corpus.dropped["unusable record"] == 1
    assert "line 151" in corpus.examples["unusable record"][0]
    whole = {json.loads(line)["text"] for line in path.read_text().splitlines()}
    assert {*texts} == whole - {None}


def test_dialects_of_mealmaster(tmp_path: Path):
    from rnnlm.config import CorpusConfig
    from rnnlm.corpora import preview

    def only(name: str) -> str:
        config = CorpusConfig(source=str(CASES / name), documents="auto")
        (text,) = preview.documents(config, tmp_path)
        return text

    bread = only("gourmet271.mmf")
    assert "-----GLAZE-----\n      1    Egg white" in bread
    assert "  Yield: two loaves, or 12 servings, of 200 g each." in bread
    assert "  Bake at 375°F until done." in bread
    assert "  TO SERVE:\n\n  Spread with butter." in bread
    (stew,) = documents("anymeal18.mmf", tmp_path)
    assert "      2 tb vinegar\n      1 lb sausage\n      2 c  shredded cheese" in stew
    assert "  Mix together, then roll. Cook at 325 degrees for 15 min or until golden." in stew


def test_each_file_of_a_folder_is_read_in_its_own_format(tmp_path: Path):
    texts, _ = read(CASES / "folder", tmp_path)
    lines = (CASES / "folder" / "one.txt").read_text().splitlines()
    rows = (CASES / "folder" / "two.csv").read_text().splitlines()[1:]
    assert {*texts} == {*lines, *(row.strip('"') for row in rows)}
    choices = advise(str(CASES / "folder"), tmp_path, NOTHING_MORE).choices
    said = [f"{c.setting} {c.value} {c.reason}" for c in choices]
    assert any("left out" in line and "empty.txt" in line for line in said)
    assert sum(line.startswith("documents") for line in said) == 2


@pytest.mark.parametrize("names", [("blog.txt", "blog-more.txt"), ("notes.jsonl", "")])
def test_held_out_parts_of_a_growing_text_stay_held_out(tmp_path: Path, names: tuple[str, str]):
    first, more = names
    path = tmp_path / first
    path.write_text((CASES / "grow" / first).read_text())
    _, before = read(path, tmp_path / "before", "corpus.bad_records=skip")
    added = "\n\n" + (CASES / "grow" / more).read_text() if more else '\n{"text": "A new note."}\n'
    path.write_text(path.read_text() + added)
    _, after = read(path, tmp_path / "after", "corpus.bad_records=skip")
    held_out = {
        paragraph
        for split in ("validation", "test")
        for text in iter_texts(before.uri, split)
        for paragraph in text.split("\n\n")
    }
    trained = {p for text in iter_texts(after.uri, "train") for p in text.split("\n\n")}
    assert len(held_out) > 20
    assert not held_out & trained


def test_the_error_for_a_short_list_says_how_many_lines_are_needed(tmp_path: Path):
    with pytest.raises(CorpusError, match=r"5 documents .expected at least 20"):
        advise(str(CASES / "tiny5.txt"), tmp_path, ("training.base=none",))
    choices = advise(str(CASES / "names30.txt"), tmp_path, ("training.base=none",)).choices
    assert any(c.setting == "warning" and "30 documents" in c.value for c in choices)
