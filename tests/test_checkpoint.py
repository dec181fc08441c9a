import json
import multiprocessing
import resource
import signal
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from rnnlm import checkpoint
from rnnlm.checksums import DIGEST
from rnnlm.errors import CheckpointError
from rnnlm.models import build
from rnnlm.storage import is_temporary
from rnnlm.tokenizer import CharacterTokenizer
from rnnlm.training import run_state
from tests.conftest import tiny_experiment
from tests.damage import flip_bit


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    experiment, tokenizer = tiny_experiment(), CharacterTokenizer("abc ß")
    model = build(experiment.model, tokenizer.vocab_size)
    checkpoint.save(tmp_path / "model.safetensors", model, tokenizer, experiment, {"step": 7})
    return tmp_path / "model.safetensors"


def test_a_checkpoint_survives_saving_and_loading(saved: Path):
    loaded = checkpoint.load(saved)
    assert loaded.experiment == tiny_experiment()
    assert loaded.facts == {"step": 7}
    assert loaded.tokenizer.decode(loaded.tokenizer.encode("abc ß")) == "abc ß"
    assert not loaded.model.training
    again = checkpoint.load(saved)
    for mine, theirs in zip(loaded.model.parameters(), again.model.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def test_the_same_model_makes_the_same_bytes(saved: Path, tmp_path: Path):
    loaded = checkpoint.load(saved)
    other = tmp_path / "other.safetensors"
    checkpoint.save(other, loaded.model, loaded.tokenizer, loaded.experiment, loaded.facts)
    assert other.read_bytes() == saved.read_bytes()


@pytest.mark.parametrize("size", [0, 7, 100, -1])
def test_a_truncated_checkpoint_is_a_clear_error(saved: Path, size: int):
    saved.write_bytes(saved.read_bytes()[:size])
    with pytest.raises(CheckpointError, match="cut short or not a checkpoint"):
        checkpoint.load(saved)


def test_a_missing_checkpoint_is_a_clear_error(tmp_path: Path):
    with pytest.raises(CheckpointError, match="no checkpoint at"):
        checkpoint.load(tmp_path / "none")


def test_weights_of_another_model_are_refused(saved: Path):
    tensors, _ = checkpoint.load_tensors(saved)
    larger = build(tiny_experiment(model={"hidden_size": 17}).model, 7)
    with pytest.raises(CheckpointError, match="fit another model"):
        checkpoint.load_weights(larger, tensors, saved)


def altered(saved: Path, change: Callable[[dict], object]) -> None:
    """Rewrite a checkpoint with a changed header of its own; the tensors stay as they are."""
    data = saved.read_bytes()
    size = struct.unpack_from("<Q", data)[0]
    outer = json.loads(data[8 : 8 + size])
    inner = json.loads(outer["__metadata__"]["rnnlm"])
    inner.pop(DIGEST)  # a hostile file would have a right one
    changed = change(inner)
    outer["__metadata__"]["rnnlm"] = changed if isinstance(changed, str) else json.dumps(inner)
    header = json.dumps(outer).encode()
    saved.write_bytes(struct.pack("<Q", len(header)) + header + data[8 + size :])


def larger(header: dict) -> None:
    header["experiment"]["model"] |= {"hidden_size": 16_384, "num_layers": 32}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (larger, "fit another model: .* as lstm 32×16384 needs"),
        (
            lambda h: h["tokenizer"].update(characters="".join(map(chr, range(40_000)))),
            "fit another",
        ),
        (lambda h: h["tokenizer"].update(characters=5), "does not describe the model it holds"),
        (lambda h: h["tokenizer"].update(kind="bpe", library={}), "does not describe"),
        (lambda h: h["experiment"].update(model=[]), "does not describe the model it holds"),
        (lambda h: h["experiment"]["model"].update(hidden_size="x\x1b"), "does not describe"),
        (lambda h: h.pop("facts"), "the header of .* is damaged"),
        (lambda h: h.update(facts=[]), "the header of .* is damaged"),
        (lambda _: "[" * 5000, "the header of .* is damaged"),
        (lambda _: "", "the header of .* is damaged"),
        (lambda h: h.update(format="rnnlm-9"), "has format 'rnnlm-9'"),
    ],
)
def test_a_header_that_lies_is_refused_in_one_line_and_allocates_nothing(
    saved: Path, change: Callable[[dict], object], message: str
):
    altered(saved, change)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(CheckpointError, match=message) as caught:
        checkpoint.load(saved)
    assert "\n" not in str(caught.value)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000  # kilobytes


@pytest.mark.parametrize("size", [2**63, 2**31, 10**9])
def test_a_wrong_length_of_the_header_is_refused(saved: Path, size: int):
    data = saved.read_bytes()
    saved.write_bytes(struct.pack("<Q", size) + data[8:])
    with pytest.raises(CheckpointError, match="cut short or not a checkpoint"):
        checkpoint.load(saved)


def test_scales_that_do_not_fit_are_refused(saved: Path, tmp_path: Path):
    small = tmp_path / "small.safetensors"
    checkpoint.save_small(saved, small, {})
    tensors = load_file(small)
    with safe_open(small, framework="pt") as file:
        header = json.loads(file.metadata()["rnnlm"])
    unsealed = {key: value for key, value in header.items() if not key.startswith("sha256")}
    metadata = {"rnnlm": json.dumps(unsealed)}
    name = next(name for name in tensors if name.startswith("scale."))
    save_file({**tensors, name: torch.ones(1, 5000)}, small, metadata)
    with pytest.raises(CheckpointError, match=r"the scale of .* does not fit it"):
        checkpoint.load(small)


@pytest.mark.parametrize("facts", [{"step": "x"}, {"step": None}, {"strange": 1}])
def test_a_position_with_wrong_counters_is_refused(saved: Path, facts: dict):
    altered(saved, lambda header: header.update(facts=facts))
    with pytest.raises(CheckpointError, match="holds no saved training position"):
        run_state.read(saved)
    assert not run_state.is_later(saved, run_state.Position())


@pytest.mark.parametrize("share", [0.1, 0.3, 0.7, 0.99])
def test_a_flipped_bit_is_noticed_wherever_it_is(saved: Path, share: float):
    flip_bit(saved, share)
    with pytest.raises(
        CheckpointError, match=r"is damaged|cut short|does not describe|fit another"
    ):
        checkpoint.load(saved)


def test_a_checkpoint_of_an_earlier_version_has_no_digests_and_is_read(saved: Path, tmp_path: Path):
    old = tmp_path / "old.safetensors"
    with safe_open(saved, framework="pt") as file:
        header = json.loads(file.metadata()["rnnlm"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    kept = {key: value for key, value in header.items() if not key.startswith("sha256")}
    assert len(kept) == len(header) - 2
    save_file(tensors, old, metadata={"rnnlm": json.dumps(kept)})
    assert checkpoint.load(old).facts == checkpoint.load(saved).facts


def test_a_process_that_is_killed_while_writing_leaves_a_file_that_is_known_as_temporary(
    saved: Path, tmp_path: Path
):
    model, to = checkpoint.load(saved), tmp_path / "new" / "model.safetensors"

    def write_part() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        checkpoint.save(to, model.model, model.tokenizer, model.experiment, {})

    child = multiprocessing.get_context("fork").Process(target=write_part)
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGXFSZ
    assert [is_temporary(file) for file in to.parent.iterdir()] == [True]
