import pytest

from rnnlm.review.markup import seen
from rnnlm.visible import visible, visible_html, visible_line

UNSAFE = [
    "\x00",
    "\x07",
    "\x1b[2J",
    "\x7f",
    "\x85",
    "\x9b31m",
    "\u202e",
    "\u2066",
    "\u2028",
    "\udc80",
]


@pytest.mark.parametrize("unsafe", UNSAFE)
def test_what_acts_on_a_terminal_or_reorders_text_is_never_shown(unsafe: str):
    for show in (visible, visible_line, visible_html, seen):
        shown = show(f"a{unsafe}b")
        assert unsafe[0] not in shown
        assert shown.encode()


def test_ordinary_texts_of_all_scripts_are_shown_unchanged():
    text = "naïve café\tשלום עולם\nمرحبا 中文 😀 e\u0301 a\u200db"
    assert visible(text) == text
    assert visible_html("<b>&") == "&lt;b&gt;&amp;"


def test_a_line_stays_a_line():
    assert visible_line("a\nb\tc\x1b") == "a b c·"
