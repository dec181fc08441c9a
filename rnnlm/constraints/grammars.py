"""Named grammars: regular expressions that match whole texts of a form, such as recipes.

A text that matches is valid in its form. The grammars are stricter than the parsers of the same
forms (`rnnlm.colors`, `rnnlm.corpora.recipes`): they allow no control characters, and no whitespace
but the ordinary space between words.
"""

_VISIBLE = r"[^\s\x00-\x1F\x7F-\x9F]"
_INNER = r"[^\s\x00-\x1F\x7F-\x9F]|\x20"
_LINE = rf"{_VISIBLE}(?:(?:{_INNER})*{_VISIBLE})?"
"""A line that neither begins nor ends with a space."""

_CHANNEL = r"(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_NO_DIGIT = r"[^\s\x00-\x1F\x7F-\x9F0-9]"
_COLOR_NAME = rf"[^#\s\x00-\x1F\x7F-\x9F]{_VISIBLE}*(?:\x20{_NO_DIGIT}{_VISIBLE}*)*"
COLOR = rf"{_COLOR_NAME}(?:\x20{_CHANNEL}){{3}}"
"""A colour as `name R G B`, where each channel is from 0 to 255, without leading zeros. The name
does not begin with `#`, because a line of the other form, `#rrggbb name`, does. Only the first word
of the name may begin with a digit, so that a later word that begins with a digit is always a
channel. Otherwise a model could write 273, which is no channel, and would then have to continue as
if it were part of the name."""

_PERCENT = r"(?:100|[1-9]?[0-9])"
_DEGREES = r"(?:3[0-5][0-9]|[12][0-9][0-9]|[1-9]?[0-9])"
_SIGNED = r"(?:0|-?(?:12[0-7]|1[01][0-9]|[1-9][0-9]?)|-128)"
COLOR_HSV = rf"{_COLOR_NAME}\x20hsv\x20{_DEGREES}(?:\x20{_PERCENT}){{2}}"
COLOR_LAB = rf"{_COLOR_NAME}\x20lab\x20{_PERCENT}(?:\x20{_SIGNED}){{2}}"
"""A colour as in `COLOR`, but in the colour spaces HSV and CIELAB; see `rnnlm.colors`."""

_COUNT = "|".join(rf"\x20{{{6 - n}}}[0-9][0-9 /.,~+x-]{{{n}}}" for n in range(7))
"""A quantity, seven characters wide: spaces, then text that begins with a digit."""
_UNIT = r"(?:[A-Za-z][A-Za-z ]|\x20\x20)"
_NAME = rf"{_VISIBLE}(?:(?:{_INNER}){{0,26}}{_VISIBLE})?"
"""An ingredient's name. It has at most 28 characters, because a longer line would be read as two
columns of ingredients."""
_COUNTED = rf"(?:{_COUNT})\x20{_UNIT}\x20{_NAME}"
_BARE = rf"\x20{{8}}{_UNIT}\x20{_NAME}"
_GOES_ON = rf"\x20{{11}}-{_NAME}"
_MORE = rf"(?:\n(?:{_COUNTED}|{_BARE}|{_GOES_ON}))*"
_NO_DASH = r"[^-\s\x00-\x1F\x7F-\x9F]"
_HEADING = rf"-----{_NO_DASH}(?:(?:{_INNER})*{_NO_DASH})?-----"
_STEP = rf"\x20\x20{_LINE}"
RECIPE = (
    rf"\x20{{6}}Title:\x20{_LINE}\n"
    rf"(?:\x20Categories:\x20{_LINE}\n)?"
    rf"(?:\x20{{6}}Yield:\x20{_LINE}\n)?"
    rf"\n(?:{_HEADING}\n)?{_COUNTED}{_MORE}"
    rf"(?:\n\n{_HEADING}\n(?:{_COUNTED}|{_BARE}){_MORE})*"
    rf"\n\n{_STEP}(?:\n\n?{_STEP})*"
)
"""A recipe as `rnnlm.corpora.recipes.render` writes it, with two differences: its first ingredient
must have a quantity (otherwise the line could be read as a header field), and its directions may
have lines of any width."""

GRAMMARS = {"color": COLOR, "color-hsv": COLOR_HSV, "color-lab": COLOR_LAB, "recipe": RECIPE}
"""The named grammars: the regular expression for each name that a user can give."""
