"""Read and write named colours, each as one line of text, in several formats.

Barely Pink 249 236 252        red, green, blue, 0 to 255
Barely Pink hsv 289 6 99       hue in degrees, saturation and value in percent
Barely Pink lab 95 7 -6        CIELAB under D65: lightness 0 to 100, a and b from -128 to 127
#f9ecfc Barely Pink            the opposite direction: a colour, then its name
"""

import re
from functools import lru_cache
from typing import NamedTuple

SPACES = ("rgb", "hsv", "lab")
_LINE = re.compile(r"(\S(?:.*\S)?) (\d{1,3}) (\d{1,3}) (\d{1,3})")
_IN_SPACE = re.compile(r"(\S(?:.*\S)?) (hsv|lab) (-?\d{1,3}) (-?\d{1,3}) (-?\d{1,3})")
_NAMED = re.compile(r"#([0-9a-f]{2})([0-9a-f]{2})([0-9a-f]{2}) ([^#\s](?:.*\S)?)")
_RANGES = {
    "hsv": ((0, 359), (0, 100), (0, 100)),
    "lab": ((0, 100), (-128, 127), (-128, 127)),
}

Numbers = tuple[int, int, int]


class Color(NamedTuple):
    """A named colour; each channel from 0 to 255."""

    name: str
    red: int
    green: int
    blue: int


def write(color: Color, space: str = "rgb") -> str:
    """Return a colour's line in one of `SPACES`."""
    name, *channels = color
    if space == "rgb":
        return f"{name} {' '.join(map(str, channels))}"
    return f"{name} {space} {' '.join(map(str, numbers(color[1:], space)))}"


def parse(text: str) -> Color | None:
    """Read a line in any of the colour spaces; return None if the text is not such a line.

    A CIELAB colour outside the sRGB range, which no screen can show, has each channel clipped to 0
    to 255.
    """
    if named := _NAMED.fullmatch(text):
        return Color(named[4], *(int(digits, 16) for digits in named.groups()[:3]))
    if matched := _IN_SPACE.fullmatch(text):
        name, space, *digits = matched.groups()
        values = [int(number) for number in digits]
        if all(low <= v <= high for v, (low, high) in zip(values, _RANGES[space], strict=True)):
            return Color(name, *_channels(space, *values))
        return None
    if line := _LINE.fullmatch(text):
        red, green, blue = map(int, line.groups()[1:])
        return Color(line[1], red, green, blue) if max(red, green, blue) <= 255 else None
    return None


@lru_cache(maxsize=1 << 16)
def numbers(channels: Numbers, space: str) -> Numbers:
    """Convert a colour from red, green and blue to another colour space, as whole numbers."""
    from coloraide import Color as Converter

    first, second, third = Converter("srgb", [c / 255 for c in channels]).convert(
        _ID[space], norm=False
    )[:3]
    if space == "hsv":
        hue = 0.0 if first != first else first  # a grey has none
        return round(hue) % 360, round(100 * second), round(100 * third)
    return round(first), round(second), round(third)


@lru_cache(maxsize=1 << 16)
def _channels(space: str, first: int, second: int, third: int) -> Numbers:
    from coloraide import Color as Converter

    scale = 100 if space == "hsv" else 1
    color = Converter(_ID[space], [first, second / scale, third / scale]).convert("srgb")
    red, green, blue = (min(255, max(0, round(255 * channel))) for channel in color[:3])
    return red, green, blue


_ID = {"hsv": "hsv", "lab": "lab-d65"}
"""Name of each space in coloraide."""
