import io
from pathlib import Path

import numpy as np
import pytest

from rnnlm.audit.reference import Reference
from rnnlm.checksums import once, read_record
from rnnlm.config import SourceConfig
from rnnlm.corpora.files import SourceFile, digest
from rnnlm.errors import DamagedFileError, DatasetError, GenerationError, RnnlmError
from rnnlm.report import read_report
from rnnlm.saved import read_array, read_arrays, read_json
from rnnlm.training.growth import read_growth
from rnnlm.training.history import read_history

DAMAGED = [b"", b"{", b"[]", b"nu", b"\xff\xfe", b'{"a": ' * 5000, b"9" * 5000, b"\0" * 100]


def test_work_is_done_once_and_not_recorded_if_it_fails(tmp_path: Path):
    def fail() -> dict[str, int]:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        once(tmp_path / "a" / "record.json", fail, dict[str, int])
    assert once(tmp_path / "a" / "record.json", lambda: {"rows": 1}, dict[str, int]) == {"rows": 1}
    assert once(tmp_path / "a" / "record.json", fail, dict[str, int]) == {"rows": 1}


@pytest.mark.parametrize("content", [*DAMAGED, b'{"rows": "x"}'])
def test_work_whose_record_is_damaged_is_done_again(tmp_path: Path, content: bytes):
    (tmp_path / "record.json").write_bytes(content)
    assert once(tmp_path / "record.json", lambda: {"rows": 1}, dict[str, int]) == {"rows": 1}
    assert read_record(tmp_path / "record.json") == {"rows": 1}


@pytest.mark.parametrize("content", DAMAGED)
def test_a_damaged_file_is_reported_in_one_line_with_its_name_and_what_to_do(
    tmp_path: Path, content: bytes
):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(DamagedFileError, match=r"a\.json is damaged: .*; train again") as caught:
        read_json(path, dict[str, int], "train again")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400
    with pytest.raises(DatasetError, match=r"report\.json"):
        read_report(str(tmp_path))
    (tmp_path / "report.json").write_bytes(content)
    with pytest.raises(DatasetError, match=r"report\.json is damaged"):
        read_report(str(tmp_path))


def test_the_first_fault_is_named(tmp_path: Path):
    (tmp_path / "a.json").write_text('{"a": [1, "x\\u001b"]}')
    with pytest.raises(DamagedFileError, match=r"'a\.1' is wrong: Input should be a valid integer"):
        read_json(tmp_path / "a.json", dict[str, list[int]], "")


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path):
    with (tmp_path / "a.json").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(DamagedFileError, match="expected at most 256,000,000"):
        read_json(tmp_path / "a.json", dict[str, int], "")


@pytest.mark.parametrize(
    "line", [b"[]", b'{"step": 1}', b'{"step": "x", "tokens": 1}', *DAMAGED[1:]]
)
def test_a_history_ends_at_the_first_damaged_line(tmp_path: Path, line: bytes):
    good = b'{"step": 1, "tokens": 10, "loss": NaN}\n'
    (tmp_path / "history.jsonl").write_bytes(good + line + b"\n" + good)
    assert [row["step"] for row in read_history(str(tmp_path))] == [1]
    (tmp_path / "growth.jsonl").write_bytes(line)
    assert read_growth(str(tmp_path)) == []


@pytest.mark.parametrize("content", [*DAMAGED, b'{"/a": 3}', b'{"/a": []}', b'{"/a": ["x", 1, 2]}'])
def test_damaged_digests_are_computed_again(tmp_path: Path, content: bytes):
    (tmp_path / "a.txt").write_text("x")
    file = SourceFile.of(tmp_path / "a.txt", SourceConfig(path="a"))
    before = digest([file], tmp_path)
    (tmp_path / "digests.json").write_bytes(content)
    assert digest([file], tmp_path) == before


def npy(**header: object) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.arange(20.0))
    data = buffer.getvalue()
    for old, new in header.items():
        data = data.replace(old.encode(), str(new).encode())
    return data


@pytest.mark.parametrize(
    "content",
    [
        npy()[:-8],
        npy() + b"x",
        npy().replace(b"(20,)", b"(9**9**9,)"[:5]),
        npy().replace(b"(20,), }    ", b"(10**12,), }"),
        npy().replace(b"(20,), }         ", b"(99999999999,), }"),
        npy().replace(b"'<f8'", b"'|O' "),
        npy().replace(b"(20,)", b"(-1,)"),
        b"\x93NUMPY",
        b"",
    ],
)
def test_an_array_whose_header_lies_is_refused_in_one_line(tmp_path: Path, content: bytes):
    path = tmp_path / "a.npy"
    path.write_bytes(content)
    for mapped in (False, True):
        with pytest.raises(DamagedFileError, match=r"a\.npy is damaged") as caught:
            read_array(path, "x", mapped=mapped)
        assert "\n" not in str(caught.value)


def test_arrays_survive_and_compressed_ones_are_refused(tmp_path: Path):
    np.savez(tmp_path / "a.npz", a=np.arange(3), b=np.zeros((2, 0)))
    a, b = read_arrays(tmp_path / "a.npz", ("a", "b"), "")
    assert (a.tolist(), b.shape) == ([0, 1, 2], (2, 0))
    np.savez_compressed(tmp_path / "b.npz", a=np.zeros(1_000_000))
    with pytest.raises(DamagedFileError, match="compressed"):
        read_arrays(tmp_path / "b.npz", ("a",), "")
    np.save(tmp_path / "c.npy", np.zeros((0, 3)))
    assert read_array(tmp_path / "c.npy", "", mapped=True).shape == (0, 3)


def test_a_reference_without_files_says_what_to_do(tmp_path: Path):
    with pytest.raises(GenerationError, match="generate again"):
        Reference.open(tmp_path)


def test_every_message_is_one_line():
    assert str(RnnlmError("a\nb\r\nc\u2028d")) == "a b c d"
