import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from rnnlm.errors import StorageError
from rnnlm.storage import (
    atomic_path,
    file_digest,
    is_address,
    value_digest,
    write_bytes,
    write_json,
)


def test_a_failed_write_keeps_the_old_content_and_leaves_no_other_files(tmp_path: Path):
    path = tmp_path / "file"
    write_bytes(path, b"old")
    with pytest.raises(KeyError), atomic_path(path) as temporary:
        temporary.write_bytes(b"half of the ne")
        raise KeyError
    assert path.read_bytes() == b"old"
    assert [*tmp_path.iterdir()] == [path]


def test_a_write_beyond_the_available_space_keeps_the_old_content(tmp_path: Path):
    path = tmp_path / "file"
    write_bytes(path, b"old")
    script = """
        import resource, signal, sys
        from pathlib import Path
        from rnnlm.errors import StorageError
        from rnnlm.storage import write_bytes
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        try:
            write_bytes(Path(sys.argv[1]), b"x" * 1_000_000)
        except StorageError as error:
            print(error)
    """
    finished = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), str(path)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "is intact" in finished.stdout
    assert path.read_bytes() == b"old"
    assert [*tmp_path.iterdir()] == [path]


def test_a_full_disk_is_one_clear_error_and_keeps_the_old_content(tmp_path: Path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(disk)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("mounting a small disk is not permitted here")
    try:
        write_bytes(disk / "file", b"old")
        with pytest.raises(StorageError, match=r"No space left on device .*intact"):
            write_bytes(disk / "file", os.urandom(1_000_000))
        assert (disk / "file").read_bytes() == b"old"
        assert len([*disk.iterdir()]) == 1
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_folder_that_is_a_file_is_a_storage_error(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError):
        write_json(tmp_path / "file" / "inside.json", {})


def test_digests_depend_on_content_and_not_on_key_order(tmp_path: Path):
    assert value_digest({"a": 1, "b": [2]}) == value_digest({"b": [2], "a": 1})
    assert value_digest({"a": 1}) != value_digest({"a": 2})
    write_bytes(tmp_path / "one", b"same")
    write_bytes(tmp_path / "two", b"same")
    assert file_digest(tmp_path / "one") == file_digest(tmp_path / "two")


@pytest.mark.parametrize(
    ("path", "expected"),
    [("s3://a/b", True), ("gs://a", True), ("a/b", False), ("C:\\a", False), ("://a", False)],
)
def test_addresses_are_told_from_paths(path: str, expected: bool):
    assert is_address(path) is expected
