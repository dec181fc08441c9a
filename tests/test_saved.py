from pathlib import Path

import pytest

from rnnlm.saved import once


def test_work_is_done_once_and_not_recorded_if_it_fails(tmp_path: Path):
    def fail() -> dict[str, int]:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        once(tmp_path / "a" / "record.json", fail, dict[str, int])
    assert once(tmp_path / "a" / "record.json", lambda: {"rows": 1}, dict[str, int]) == {"rows": 1}
    assert once(tmp_path / "a" / "record.json", fail, dict[str, int]) == {"rows": 1}
