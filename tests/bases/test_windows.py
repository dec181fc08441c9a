from pathlib import Path

import numpy as np
import pytest

from rnnlm.bases import weights
from rnnlm.bases.windows import windows_of
from rnnlm.errors import CheckpointError
from rnnlm.overlap import sample
from tests.damage import flip_bit

READ = [" ".join(f"word{n}" for n in range(first, first + 40)) for first in range(0, 4000, 20)]


def test_an_exported_base_knows_what_it_has_read(saved: Path, tmp_path: Path):
    weights.export(saved, READ, tmp_path / "base.safetensors", {})
    found = windows_of(tmp_path / "base.safetensors")
    assert len(found) > 10
    assert np.array_equal(found, sample(READ))
    assert len(windows_of(saved)) == 0


def test_a_base_with_a_flipped_bit_is_refused(saved: Path, tmp_path: Path):
    path = tmp_path / "base.safetensors"
    weights.export(saved, READ, path, {})
    flip_bit(path)
    with pytest.raises(CheckpointError, match="damaged: it does not match the digest"):
        windows_of(path)
