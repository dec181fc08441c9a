import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnlm import colors
from rnnlm.colors import Color

CHANNELS = st.tuples(*[st.integers(0, 255)] * 3)


@given(CHANNELS)
def test_rgb_survives_writing_and_parsing_exactly(channels: tuple[int, int, int]):
    color = Color("7 up", *channels)
    assert colors.parse(colors.write(color)) == color


@pytest.mark.parametrize(("space", "error"), [("hsv", 4), ("lab", 30)])
@given(channels=CHANNELS)
def test_other_spaces_survive_approximately(space: str, error: int, channels: tuple[int, int, int]):
    back = colors.parse(colors.write(Color("dusk", *channels), space))
    assert back is not None
    assert back.name == "dusk"
    assert max(abs(a - b) for a, b in zip(back[1:], channels, strict=True)) <= error


@pytest.mark.parametrize(
    ("line", "color"),
    [
        ("Barely Pink hsv 289 6 99", Color("Barely Pink", 250, 237, 252)),
        ("red hsv 0 100 100", Color("red", 255, 0, 0)),
        ("grey lab 54 0 0", Color("grey", 129, 129, 129)),
        ("too green lab 50 -128 127", Color("too green", 0, 152, 0)),
        ("hsv hsv 120 100 100", Color("hsv", 0, 255, 0)),
        ("red hsv 360 0 0", None),
        ("red hsv 0 101 0", None),
        ("red lab 0 -129 0", None),
        ("red lab -1 0 0", None),
        ("red lab 0 0", None),
        ("red xyz 1 2 3", Color("red xyz", 1, 2, 3)),
    ],
)
def test_only_valid_lines_in_other_spaces_parse(line: str, color: Color | None):
    assert colors.parse(line) == color


def test_written_colours_match_the_css_specification():
    # https://www.w3.org/TR/css-color-4/: hsv of rebeccapurple (102 51 153); Lab of pure green
    assert (
        colors.write(Color("rebeccapurple", 102, 51, 153), "hsv") == "rebeccapurple hsv 270 67 60"
    )
    assert colors.write(Color("lime", 0, 255, 0), "lab") == "lime lab 88 -86 83"
