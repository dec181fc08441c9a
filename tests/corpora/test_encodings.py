"""Test that encodings are detected in generated texts.

The texts are words of a language drawn by frequency, or repeated sentences.
"""

import random
from functools import cache
from itertools import accumulate
from pathlib import Path

import pytest
from spellchecker import SpellChecker

from rnnlm.corpora.decoding import decode
from rnnlm.corpora.encodings import LEAST_CONFIDENCE, Encoding, detect, detect_bytes

ENCODINGS = {
    "en": ("cp1252", "mac_roman", "utf_16_le"),
    "fr": ("cp1252", "cp850", "mac_roman", "utf_8"),
    "de": ("cp1252", "cp850", "utf_16_be"),
    "es": ("cp1252", "cp850"),
    "pt": ("cp1252", "cp850"),
    "it": ("cp1252",),
    "nl": ("cp1252",),
    "ru": ("cp1251", "koi8_r", "cp866", "iso8859_5", "utf_8", "utf_16_le"),
    "ar": ("cp1256", "iso8859_6"),
    "fa": ("cp1256",),
    "lv": ("cp1257",),
}
"""The encodings to test for each language that the spell checker has word frequencies for."""
SENTENCES = {
    ("cp1250", "iso8859_2"): (
        "Wszyscy ludzie rodzą się wolni i równi pod względem swej godności i swych praw. Są oni "
        "obdarzeni rozumem i sumieniem i powinni postępować wobec innych w duchu braterstwa.",
        "Minden emberi lény szabadon születik és egyenlő méltósága és joga van. Az emberek, ésszel "
        "és lelkiismerettel bírván, egymással szemben testvéri szellemben kell hogy viseltessenek.",
        "Všichni lidé rodí se svobodní a sobě rovní co do důstojnosti a práv. Jsou nadáni rozumem "
        "a svědomím a mají spolu jednat v duchu bratrství.",
    ),
    ("cp1253", "iso8859_7"): (
        "Όλοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι στην αξιοπρέπεια και τα δικαιώματα. Είναι "
        "προικισμένοι με λογική και συνείδηση, και οφείλουν να συμπεριφέρονται μεταξύ τους με "
        "πνεύμα αδελφοσύνης.",
    ),
    ("cp1254", "iso8859_9"): (
        "Bütün insanlar hür, haysiyet ve haklar bakımından eşit doğarlar. Akıl ve vicdana "
        "sahiptirler ve birbirlerine karşı kardeşlik zihniyeti ile hareket etmelidirler.",
    ),
    ("cp1255", "iso8859_8"): (
        "כל בני האדם נולדו בני חורין ושווים בערכם ובזכויותיהם. כולם חוננו בתבונה ובמצפון, לפיכך "
        "חובה עליהם לנהוג איש ברעהו ברוח של אחווה.",
    ),
    ("cp932", "euc_jp", "utf_8"): (
        "すべての人間は、生まれながらにして自由であり、かつ、尊厳と権利とについて平等である。"
        "人間は、理性と良心とを授けられており、互いに同胞の精神をもって行動しなければならない。",
    ),
    ("gb18030", "utf_16_le"): (
        "人人生而自由,在尊严和权利上一律平等。他们赋有理性和良心,并应以兄弟关系的精神相对待。",
    ),
    ("big5",): (
        "人人生而自由,在尊嚴和權利上一律平等。他們賦有理性和良心,並應以兄弟關係的精神相對待。",
    ),
    ("euc_kr",): (
        "모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다. 인간은 천부적으로 "
        "이성과 양심을 부여받았으며 서로 형제애의 정신으로 행동하여야 한다.",
    ),
    ("cp874",): (
        "มนุษย์ทั้งหลายเกิดมามีอิสระและเสมอภาคกันในเกียรติศักดิ์และสิทธิ ต่างมีเหตุผลและมโนธรรม "
        "และควรปฏิบัติต่อกันด้วยเจตนารมณ์แห่งภราดรภาพ",
    ),
}
"""Article 1 of the Universal Declaration of Human Rights in several languages, by the encodings to
test."""


@cache
def dictionary(language: str) -> tuple[list[str], list[int]]:
    """Return the words of a language, and the cumulative sums of their frequencies."""
    frequencies = SpellChecker(language=language).word_frequency.dictionary
    known = [word for word in frequencies if len(word) > 1]
    return known, [*accumulate(frequencies[word] for word in known)]


def words_of(language: str, encoding: str, length: int, seed: int) -> bytes:
    """Return encoded lines of a language's words, drawn by frequency, with quotes and dashes."""
    known, ends = dictionary(language)
    chance, data = random.Random(f"{language} {encoding} {seed}"), b""
    while len(data) < length:
        drawn = chance.choices(known, cum_weights=ends, k=12)
        line = " ".join(drawn).capitalize()
        if language == "en":
            line = f"“{line}” – it’s {chance.randint(1, 99)} or…"
        data += f"{line}.\n".encode(encoding, "ignore")
    return data


def check(data: bytes, encoding: str) -> None:
    """Assert that `data`, whose encoding is detected, decodes as it does with `encoding`."""
    found = detect_bytes(data)
    assert decode(data, found, "test").text == data.decode(encoding), found


@pytest.mark.parametrize("language", ENCODINGS)
@pytest.mark.parametrize("length", [500, 2000, 20_000])
def test_words_of_a_language_are_decoded(language: str, length: int):
    for encoding in ENCODINGS[language]:
        check(words_of(language, encoding, length, seed=length), encoding)


@pytest.mark.parametrize("encodings", SENTENCES, ids=" ".join)
def test_sentences_of_a_language_are_decoded(encodings: tuple[str, ...]):
    for sentence in SENTENCES[encodings]:
        for encoding in encodings:
            for repeats in (2, 20):
                check((f"{sentence}\n" * repeats).encode(encoding, "ignore"), encoding)


@pytest.mark.parametrize("language", ["ru", "fr"])
def test_a_few_bad_bytes_leave_the_rest_utf_8(language: str):
    data = words_of(language, "utf_8", 5000, seed=1)
    lines = data.split(b"\n")
    lines[3] += b" caf\xe9"
    lines[7] += b" it\x92s"
    lines[-2] = lines[-2][:-2] + "é".encode()[:1]  # breaks off within a character
    broken = b"\n".join(lines)
    found = detect_bytes(broken)
    assert found == Encoding("utf-8", is_mended=True)
    text, mended = decode(broken, found, "test")
    assert text.split("\n")[3].endswith(" café")
    assert text.split("\n")[7].endswith(" it’s")
    assert mended == (4, 8, len(lines) - 1)
    assert "\ufffd" not in text


def test_an_incomplete_last_character_is_dropped():
    broken = "déjà vu été ".encode() * 20 + "語".encode()[:2]
    found = detect_bytes(broken)
    assert decode(broken, found, "test").text == "déjà vu été " * 20


def test_recipes_in_a_dos_code_page_keep_their_symbols():
    data = b"Bake at 375\xf8F \x14 serve\n\x1a"
    found = detect_bytes(data, is_recipes=True)
    assert found.codec == "cp437"
    assert decode(data, found, "test").text == "Bake at 375°F ¶ serve\n"
    assert detect_bytes("Crème brûlée".encode(), is_recipes=True).codec == "utf-8"


def test_a_guess_reports_its_confidence(tmp_path: Path):
    path = tmp_path / "short.txt"
    path.write_bytes("crème".encode("cp1252"))
    found = detect(path, "auto")
    assert found.confidence < LEAST_CONFIDENCE
    assert str(found).endswith("not sure")
    path.write_bytes(words_of("ru", "koi8_r", 5000, seed=2))
    found = detect(path, "auto")
    assert found.confidence >= LEAST_CONFIDENCE
    assert str(found).startswith("koi8-r, ")
    assert str(detect(path, "koi8_r")) == "koi8-r"
