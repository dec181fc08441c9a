import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rnnlm.checksums import (
    PAGE_CHECKSUMS,
    first_fault,
    list_files,
    once,
    open_parquet,
    read_parquet,
    read_record,
    write_record,
)
from tests.damage import flip, flip_bit

RECORD = {"name": "tiny", "files": {1: "a", 2: "b"}, "share": 0.1, "none": None, "large": 1e300}


def test_any_flipped_bit_of_a_record_is_noticed(tmp_path: Path):
    path = tmp_path / "record.json"
    write_record(path, RECORD)
    good, value = path.read_bytes(), read_record(path)
    assert value == {**RECORD, "files": {"1": "a", "2": "b"}}
    for place in range(len(good)):
        path.write_bytes(flip(good, place / (len(good) - 1)))
        found = read_record(path)
        # if the key of the digest is damaged, the record looks like one of an earlier version
        assert found is None or {key: found.get(key) for key in value} == value


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"7", b"\xff", b"[" * 100_000, b"null"])
def test_a_file_that_is_not_a_record_is_read_as_none(tmp_path: Path, content: bytes):
    (tmp_path / "record.json").write_bytes(content)
    assert read_record(tmp_path / "record.json") is None
    assert read_record(tmp_path / "missing.json") is None
    assert read_record(tmp_path) is None


def test_a_record_of_an_earlier_version_is_read(tmp_path: Path):
    (tmp_path / "record.json").write_text(json.dumps({"rows": 1}))
    assert read_record(tmp_path / "record.json") == {"rows": 1}


def test_work_is_done_once_and_again_if_its_record_is_damaged(tmp_path: Path):
    def fail() -> dict[str, int]:
        raise ValueError("no")

    path = tmp_path / "a" / "record.json"
    with pytest.raises(ValueError, match="no"):
        once(path, fail, dict[str, int])
    assert once(path, lambda: {"rows": 1}, dict[str, int]) == {"rows": 1}
    assert once(path, fail, dict[str, int]) == {"rows": 1}
    path.write_bytes(path.read_bytes().replace(b"1", b"2", 1))
    assert once(path, lambda: {"rows": 3}, dict[str, int]) == {"rows": 3}


def test_a_fault_in_a_folder_is_named(tmp_path: Path):
    (tmp_path / "below").mkdir()
    for name in ("one", "below/two", "below/not"):
        (tmp_path / name).write_bytes(os.urandom(1000))
    files = list_files(tmp_path, {"not"})
    assert [*files] == ["below/two", "one"]
    assert first_fault(tmp_path, files) is None
    flip_bit(tmp_path / "one")
    assert first_fault(tmp_path, files) == "one is damaged"
    (tmp_path / "below" / "two").unlink()
    assert first_fault(tmp_path, files) == "below/two is missing"


@pytest.mark.parametrize("compression", ["none", "lz4", "zstd"])
def test_a_flipped_bit_in_a_page_is_noticed_when_it_is_read(tmp_path: Path, compression: str):
    path = tmp_path / "a.parquet"
    pq.write_table(
        pa.table({"a": [os.urandom(500) for _ in range(50)]}),
        path,
        compression=compression,
        **PAGE_CHECKSUMS,
    )
    assert len(read_parquet(path)) == 50
    flip_bit(path, 0.5)
    with pytest.raises(OSError, match="CRC"):
        read_parquet(path)
    with open_parquet(path) as file, pytest.raises(OSError, match="CRC"):
        file.read_row_group(0)
