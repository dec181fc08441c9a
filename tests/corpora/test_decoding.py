from pathlib import Path

import pytest

from rnnlm.corpora.decoding import decode
from rnnlm.corpora.encodings import LOOKED_AT, Encoding, detect
from rnnlm.errors import CorpusError


def found(tmp_path: Path, data: bytes, encoding: str = "auto") -> tuple[str, str]:
    path = tmp_path / "file"
    path.write_bytes(data)
    encoded = detect(path, encoding)
    return decode(data, encoded, "test").text, encoded.codec


@pytest.mark.parametrize(
    ("data", "text", "encoding"),
    [
        ("naïve".encode(), "naïve", "utf-8"),
        ("naïve".encode("utf-8-sig"), "naïve", "utf-8-sig"),
        ("naïve".encode("utf-16"), "naïve", "utf-16"),
        ("naïve".encode("utf-32"), "naïve", "utf-32"),
        (b"one\r\ntwo\rthree", "one\ntwo\nthree", "utf-8"),
    ],
)
def test_encodings_are_detected_and_line_ends_normalised(
    tmp_path: Path, data: bytes, text: str, encoding: str
):
    assert found(tmp_path, data) == (text, encoding)


def test_a_legacy_encoding_is_detected(tmp_path: Path):
    original = "Les élèves français étaient déjà là, où l'été était très long. " * 20
    text, encoding = found(tmp_path, original.encode("cp1252"))
    assert text == original
    assert encoding == "cp1252"


def test_a_named_encoding_is_used(tmp_path: Path):
    assert found(tmp_path, b"\x82", "cp437") == ("é", "cp437")
    with pytest.raises(CorpusError, match="not an encoding"):
        found(tmp_path, b"x", "klingon")


@pytest.mark.parametrize("data", [b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", b"\xff\x00\x81\x00\x01"])
def test_the_error_for_binary_data_names_what_was_tried_and_where_it_failed(
    tmp_path: Path, data: bytes
):
    with pytest.raises(CorpusError, match=r"utf-8 \(byte 0 is 0x.. *\)|utf-8 \(byte 0 is 0x\w\w\)"):
        found(tmp_path, data)


def test_control_characters_are_not_text(tmp_path: Path):
    with pytest.raises(CorpusError, match="control character at byte 3"):
        found(tmp_path, b"abc\x00def" * 10)


def test_a_long_file_is_sampled_to_its_end(tmp_path: Path):
    line = "déjà vu, encore une fois, près de l'été\n"
    path = tmp_path / "long.txt"
    path.write_bytes(b"plain text\n" * (LOOKED_AT // 11) + line.encode("cp1252") * 200_000)
    assert detect(path, "auto").codec == "cp1252"


def test_an_undecodable_byte_is_reported_with_its_position():
    with pytest.raises(
        CorpusError, match=r"x\.txt is not valid utf-8 at byte 4 \(0xff\).*corpus.encoding"
    ):
        decode(b"abcd\xff", Encoding("utf-8"), "x.txt")
