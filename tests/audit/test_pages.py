import colorsys
import re
from html.parser import HTMLParser
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest

from rnnlm.audit.gallery import COLUMNS, arrange, by_hue, draw
from rnnlm.audit.novelty import RUN
from rnnlm.audit.pages import copied_names, write_gallery, write_pages, write_samples
from rnnlm.audit.summary import audit_shard, conclude
from rnnlm.colors import Color
from rnnlm.corpora.forms import read_subject
from tests.audit.conftest import story


class Page(HTMLParser):
    """An HTML parser that collects a page's text, the text within `<mark>`, and all tags."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.marked: list[str] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(path.read_text())

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self._open.append(tag)

    def handle_endtag(self, tag):
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data):
        self.text += data
        if self._open[-2:] == ["p", "mark"]:
            self.marked.append(data)


def test_samples_mark_passages_copied_from_training(stories, tmp_path: Path):
    reference, training = stories
    copied = training[3][10:70]
    write_samples([f"ZZ{copied}ZZ <b>&", story(900)], "Title <i>", reference, tmp_path / "s.html")
    page = Page(tmp_path / "s.html")
    assert page.marked[0] == copied
    assert all(len(mark) >= RUN or mark == copied for mark in page.marked)
    assert "ZZ <b>&" in page.text
    assert "b" not in page.tags
    assert "script" not in page.tags


def test_a_gallery_has_every_colour_and_no_external_resources(tmp_path: Path):
    write_gallery(
        [Color("red <3", 255, 0, 0), Color("navy", 0, 0, 128)], "Two", tmp_path / "g.html"
    )
    source = (tmp_path / "g.html").read_text()
    assert "background:#ff0000" in source
    assert "background:#000080" in source
    assert "red <3" in Page(tmp_path / "g.html").text
    assert not re.search(r"https?://|<script|<link|@import", source)


@pytest.mark.parametrize("form", ["color", "prose"])
@pytest.mark.parametrize("compared", [True, False])
def test_every_listed_page_is_written(form, compared, colors, stories, tmp_path: Path):
    reference, training = colors if form == "color" else stories
    texts = [*training[:5], *(["new one 1 2 3"] if form == "color" else [story(901)])]
    known = reference if compared else None
    record = audit_shard(texts, np.ones(len(texts), np.bool_), form, known, 100)
    audit = conclude(record, form, known)
    pages = write_pages(tmp_path / "out", "Title", record, audit, known)
    assert sorted(pages) == sorted(path.name for path in (tmp_path / "out").iterdir())
    assert ("gallery.html" in pages) == (form == "color")
    assert ("overlaps.png" in pages) == compared
    for name in pages:
        if name.endswith(".png"):
            assert matplotlib.image.imread(tmp_path / "out" / name).std() > 0.01


def test_a_shard_of_one_empty_text_still_has_pictures(stories, tmp_path: Path):
    record = audit_shard([""], np.ones(1, np.bool_), "prose", stories[0], 1)
    audit = conclude(record, "prose", stories[0])
    assert "lengths.png" in write_pages(tmp_path, "Title", record, audit, stories[0])


def test_every_row_of_a_gallery_goes_through_the_hues():
    reds = [Color(f"red {n}", 200 + n, n, n) for n in range(40)]
    others = [Color("green", 0, 200, 0), Color("blue", 0, 0, 200), Color("grey", 90, 90, 90)]
    many = [
        Color(f"{n}", *(round(255 * part) for part in colorsys.hsv_to_rgb(n / 80, 0.8, 0.7)))
        for n in range(80)
    ]
    assert sorted(arrange([*reds, *others])) == sorted([*reds, *others])
    shown = arrange(many)
    assert sorted(shown) == sorted(many)
    for start in range(0, 80, COLUMNS):
        hues = [by_hue(color)[1] for color in shown[start : start + COLUMNS]]
        assert hues == sorted(hues)
        assert hues[-1] - hues[0] > 0.7
    assert arrange([]) == []
    assert arrange(reds[:3]) == sorted(reds[:3], key=by_hue)


def test_copied_names_are_marked_in_the_gallery(colors, tmp_path: Path):
    reference, training = colors
    name = read_subject("color", training[0])
    shown = [Color(name, 1, 2, 3), Color("never seen before", 4, 5, 6)]
    copied = copied_names(shown, reference)
    assert copied == {name}
    write_gallery(shown, "Two", tmp_path / "g.html", copied)
    page = (tmp_path / "g.html").read_text()
    assert len(re.findall(r"<small>#010203 <mark[^>]*>copy</mark></small>", page)) == 1
    assert "<small>#040506</small>" in page
    assert "1 name marked as" in page
    draw([("Two", shown)], tmp_path / "plain.png")
    draw([("Two", shown)], tmp_path / "marked.png", copied)
    assert (tmp_path / "plain.png").read_bytes() != (tmp_path / "marked.png").read_bytes()
    assert copied_names(shown, None) == frozenset()
