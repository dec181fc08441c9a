"""Test that packed models are restored from their files, which may be lost or damaged."""

from pathlib import Path

import numpy as np
import pytest
import torch

from rnnlm import checkpoint
from rnnlm.engine import loading, packed
from rnnlm.engine.loading import UnpackedModel, load_sampler
from rnnlm.engine.opening import Engine
from rnnlm.engine.packed import PackedModel, packed_path
from rnnlm.errors import CheckpointError
from rnnlm.kernels.native import native_available
from rnnlm.models import build
from rnnlm.storage import file_digest
from rnnlm.tokenizer import CharacterTokenizer
from tests.conftest import tiny_experiment
from tests.damage import flip_bit

pytestmark = pytest.mark.skipif(not native_available(), reason="no compiler made native code")


def saved(path: Path, precision: str = "int8", **model) -> Path:
    torch.manual_seed(1)
    experiment, tokenizer = tiny_experiment(model=model), CharacterTokenizer("abc 123")
    network = build(experiment.model, tokenizer.vocab_size)
    checkpoint.save(path, network, tokenizer, experiment, {"precision": {"chosen": precision}})
    return path


def arrays(model: PackedModel) -> list[np.ndarray]:
    found: list[np.ndarray] = []
    model.network.mapped(found.append)
    return found


@pytest.mark.parametrize("precision", ["int8", "bf16", "fp32"])
@pytest.mark.parametrize("architecture", ["lstm", "gru", "simple"])
def test_a_packed_model_is_read_as_it_was_written(
    tmp_path: Path, precision: str, architecture: str
):
    path = saved(tmp_path / "model.safetensors", precision, architecture=architecture)
    made, read = (load_sampler(path, tmp_path / "packed") for _ in range(2))
    assert isinstance(made, PackedModel)
    assert isinstance(read, PackedModel)
    assert packed_path(tmp_path / "packed", file_digest(path)).is_file()
    for one, other in zip(arrays(made), arrays(read), strict=True):
        assert one.dtype == other.dtype
        assert np.array_equal(one, other)
    assert made.precision == read.precision == precision
    assert made.experiment == read.experiment
    assert made.tokenizer.to_json() == read.tokenizer.to_json()


@pytest.mark.parametrize("harm", ["cut", "other", "format", "header", "weights"])
def test_a_damaged_file_is_made_again(tmp_path: Path, harm: str, monkeypatch: pytest.MonkeyPatch):
    path = saved(tmp_path / "model.safetensors")
    load_sampler(path, tmp_path)
    kept = packed_path(tmp_path, file_digest(path))
    whole = kept.read_bytes()
    if harm == "format":
        with monkeypatch.context() as patch:
            patch.setattr(packed, "FORMAT", "rnnlm-packed-0")
            kept.unlink()
            load_sampler(path, tmp_path)
    elif harm in ("header", "weights"):
        flip_bit(kept, 0.2 if harm == "header" else 0.9)
    else:
        kept.write_bytes(whole[:-9] if harm == "cut" else path.read_bytes())
    assert packed.load(kept) is None
    load_sampler(path, tmp_path)
    assert kept.read_bytes() == whole


def test_a_folder_that_cannot_be_written_to_is_no_obstacle(tmp_path: Path):
    (tmp_path / "file").touch()
    path = saved(tmp_path / "model.safetensors")
    assert load_sampler(path, tmp_path / "file" / "packed").precision == "int8"


def test_another_precision_is_packed_but_not_kept(tmp_path: Path):
    path = saved(tmp_path / "model.safetensors", "int8")
    assert load_sampler(path, tmp_path / "packed", precision="fp32").precision == "fp32"
    assert not (tmp_path / "packed").exists()


def test_models_that_cannot_be_packed_are_computed_by_torch(tmp_path: Path):
    path = saved(tmp_path / "model.safetensors", architecture="mingru")
    assert isinstance(load_sampler(path, tmp_path / "packed"), UnpackedModel)
    assert not (tmp_path / "packed").exists()


def test_a_checkpoint_that_is_not_the_expected_one_is_not_packed(tmp_path: Path):
    path = saved(tmp_path / "model.safetensors")
    digest = file_digest(path)
    saved(path, "fp32")
    with pytest.raises(CheckpointError, match="does not match the digest"):
        load_sampler(path, tmp_path / "packed", digest)
    assert not (tmp_path / "packed").exists()


def test_a_missing_checkpoint_is_named(tmp_path: Path):
    with pytest.raises(CheckpointError, match="no checkpoint at"):
        load_sampler(tmp_path / "nowhere.safetensors", tmp_path)


@pytest.mark.skipif(torch.cuda.is_available(), reason="torch sees a GPU here")
def test_a_driver_without_a_gpu_that_torch_can_use_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = saved(tmp_path / "model.safetensors")
    without = load_sampler(path, tmp_path / "packed", gpu=True)
    monkeypatch.setattr(loading, "has_gpu_driver", lambda: True)
    sampler = load_sampler(path, tmp_path / "packed", gpu=True)
    assert isinstance(sampler, PackedModel) and isinstance(without, PackedModel)
    assert (sampler.device, sampler.engine) == ("cpu", Engine("native", "int8"))
    assert all(map(np.array_equal, arrays(sampler), arrays(without)))
