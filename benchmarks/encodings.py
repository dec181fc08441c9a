"""Measure how often a text's encoding is detected correctly, by rnnlm and by charset-normalizer.

    pip install django
    RNNLM_CORPORA=FOLDER python benchmarks/encodings.py

The texts are Django's translations into 33 languages. For English, whose translations have few
characters beyond ASCII, they are paragraphs of books and speeches in FOLDER. A guess is right if
the bytes decode to the original text. The last column counts this library's wrong guesses that it
did not report as unsure.
"""

import ast
import os
import random
import re
import sys
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:] = [path for path in sys.path if Path(path).resolve() != ROOT / "benchmarks"]
sys.path.insert(0, str(ROOT))

from rnnlm.corpora.encodings import LEAST_CONFIDENCE, detect_bytes
from rnnlm.errors import CorpusError

LENGTHS = (60, 150, 500, 2_000, 20_000)
SEEDS = range(5)
PAIRS = {
    "en": "cp1252 mac_roman utf_8 utf_16_le",
    "de": "cp1252 iso8859_1 cp850 cp437 mac_roman utf_16_be",
    "fr": "cp1252 iso8859_15 cp850 mac_roman",
    "es": "cp1252 cp850",
    "pt": "cp1252 cp850",
    "it": "cp1252",
    "nl": "cp1252",
    "sv": "cp1252 cp437",
    "da": "cp1252",
    "nb": "cp1252",
    "fi": "cp1252",
    "pl": "cp1250 iso8859_2 cp852",
    "cs": "cp1250 iso8859_2",
    "hu": "cp1250 iso8859_2",
    "ro": "cp1250",
    "hr": "cp1250",
    "sl": "cp1250",
    "ru": "cp1251 koi8_r cp866 iso8859_5 mac_cyrillic utf_8 utf_16_le",
    "uk": "cp1251 koi8_u",
    "bg": "cp1251",
    "el": "cp1253 iso8859_7",
    "tr": "cp1254 iso8859_9",
    "he": "cp1255 iso8859_8",
    "ar": "cp1256 iso8859_6",
    "fa": "cp1256",
    "et": "cp1257",
    "lt": "cp1257",
    "lv": "cp1257",
    "vi": "cp1258",
    "th": "cp874",
    "ja": "cp932 euc_jp iso2022_jp utf_8 utf_16_be",
    "zh_Hans": "gb18030 utf_16_le",
    "zh_Hant": "big5",
    "ko": "euc_kr cp949",
}
"""For each language, the encodings that are in use for it."""
APPS = "conf contrib/admin contrib/auth contrib/gis contrib/flatpages contrib/admindocs"


def translations(language: str) -> list[str]:
    """Return Django's longer messages in a language, without placeholders and markup."""
    import django

    found: dict[str, None] = {}
    for app in APPS.split():
        path = Path(django.__file__).parent / app / "locale" / language / "LC_MESSAGES/django.po"
        if not path.is_file():
            continue
        for match in re.finditer(
            r'^msgstr(?:\[\d\])? ((?:"(?:[^"\\]|\\.)*"\s*)+)', path.read_text("utf-8"), re.MULTILINE
        ):
            parts = re.findall(r'"(?:[^"\\]|\\.)*"', match[1])
            text = "".join(ast.literal_eval(part) for part in parts)
            if len(text) > 12 and "Project-Id" not in text:
                plain = re.sub(r"%\(?\w*\)?[sd]|\{\w*\}|<[^>]*>", "", text).replace("\n", " ")
                found[plain] = None
    return [*found]


def english(corpora: Path) -> list[str]:
    """Return paragraphs with curly quotes, dashes and accents."""
    paths = [corpora / "speeches" / "obama.txt", *sorted((corpora / "books").glob("*.txt"))[:12]]
    texts = [path.read_text("utf-8-sig", "ignore") for path in paths]
    parts = [part.replace("\n", " ") for text in texts for part in re.split(r"\n\s*\n", text)]
    return [part for part in parts if not part.isascii() and len(part) < 900]


def sample(texts: list[str], encoding: str, length: int, seed: int) -> tuple[bytes, str]:
    """Return the bytes of some of the texts in an encoding, and the text they decode to."""
    order, data = texts.copy(), b""
    random.Random(f"{encoding}{length}{seed}").shuffle(order)
    for text in order:
        data += f"{text}\n".encode(encoding, "ignore")
        if len(data) >= length:
            break
    return data, data.decode(encoding)


def is_right(data: bytes, text: str, codec: str | None) -> bool:
    """Return whether a codec decodes the bytes to the text."""
    try:
        return codec is not None and data.decode(codec) == text
    except UnicodeError:
        return False


def ours(data: bytes) -> tuple[str | None, bool]:
    """Return the codec that this library detects, and whether it reports the guess as unsure."""
    try:
        found = detect_bytes(data)
    except CorpusError:
        return None, True
    return found.codec, found.confidence < LEAST_CONFIDENCE


def theirs(data: bytes) -> tuple[str | None, bool]:
    """Return charset-normalizer's best guess, and False, since it never reports one as unsure."""
    from charset_normalizer import from_bytes

    best = from_bytes(data).best()
    return (best.encoding if best else None), False


def main() -> None:
    """Print a row for each length, and the wrong guesses for texts of 2,000 bytes or more."""
    corpora = Path(os.environ["RNNLM_CORPORA"])
    texts = {name: english(corpora) if name == "en" else translations(name) for name in PAIRS}
    sides: dict[str, Callable[[bytes], tuple[str | None, bool]]] = {
        "rnnlm": ours,
        "charset-normalizer": theirs,
    }
    pairs = sum(len(encodings.split()) for encodings in PAIRS.values())
    print(f"{len(PAIRS)} languages, {pairs} pairs with encodings")
    print(
        f"\n{'bytes':>8}  {'texts':>5}  "
        + "  ".join(f"{name:>20}" for name in sides)
        + "  wrong, but sure"
    )
    wrong: dict[str, int] = defaultdict(int)
    for length in LENGTHS:
        right, silent, count = dict.fromkeys(sides, 0), 0, 0
        for language, encodings in PAIRS.items():
            for encoding in encodings.split():
                for seed in SEEDS:
                    data, text = sample(texts[language], encoding, length, seed)
                    if data.isascii() and encoding != "iso2022_jp":
                        continue
                    count += 1
                    for name, side in sides.items():
                        codec, is_unsure = side(data)
                        fits = is_right(data, text, codec)
                        right[name] += fits
                        if name == "rnnlm" and not fits:
                            silent += not is_unsure
                            if length >= 2_000:
                                wrong[f"{language} {encoding} read as {codec}"] += 1
        shares = "  ".join(f"{right[name] / count:>20.1%}" for name in sides)
        print(f"{length:>8,}  {count:>5}  {shares}  {silent:>15}")
    for what, times in wrong.items():
        print(f"  {what}: {times}")


if __name__ == "__main__":
    main()
