import multiprocessing

import pytest
import torch

from rnnlm.config import TrainingConfig
from rnnlm.devices import choose_device, choose_precision, one_thread, worker_device
from rnnlm.errors import ConfigError

CPU = torch.device("cpu")


@pytest.mark.parametrize(("wanted", "threads"), [(True, 1), (False, 3)])
def test_the_number_of_threads_is_restored(wanted: bool, threads: int):
    torch.set_num_threads(3)
    with pytest.raises(KeyError), one_thread(wanted):
        assert torch.get_num_threads() == threads
        raise KeyError
    assert torch.get_num_threads() == 3


def test_a_missing_gpu_is_refused():
    there = torch.cuda.device_count()
    with pytest.raises(ConfigError, match=f"torch sees {there} GPUs"):
        choose_device(f"cuda:{there}")


def test_precision_is_as_requested():
    assert choose_precision(TrainingConfig(precision="fp32"), CPU) == torch.float32
    assert choose_precision(TrainingConfig(precision="bf16"), CPU) == torch.bfloat16


@pytest.mark.parametrize(
    ("process", "rank", "index"),
    [("MainProcess", 0, 0), ("SpawnProcess-1", 1, 0), ("SpawnProcess-7", 3, 2)],
)
def test_processes_share_the_gpus_and_make_their_own_current(
    process: str, rank: int, index: int, monkeypatch: pytest.MonkeyPatch
):
    current = []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(torch.cuda, "set_device", current.append)
    monkeypatch.setattr(multiprocessing.current_process(), "_name", process)
    assert choose_device("cuda", rank).index == rank
    assert worker_device("cuda").index == index
    assert current == [rank, index]
    assert worker_device("cpu") == CPU
