import pytest
import torch

from rnnlm import devices
from rnnlm.config import ModelConfig, TrainingConfig
from rnnlm.devices import choose_device, choose_precision, fitting_threads
from rnnlm.errors import ConfigError

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("model", "threads"),
    [
        ({"architecture": "gru"}, 1),
        ({"architecture": "mogrifier"}, 1),
        ({"architecture": "gru", "hidden_size": 1024}, 3),
        ({"architecture": "mingru"}, 3),
        ({"architecture": "lstm"}, 3),
    ],
)
def test_small_steps_are_taken_on_one_thread(
    model: dict[str, object], threads: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(devices, "native_available", lambda: True)
    torch.set_num_threads(3)
    with fitting_threads(ModelConfig.model_validate(model), CPU):
        assert torch.get_num_threads() == threads
    assert torch.get_num_threads() == 3


def test_without_native_loops_an_lstm_takes_small_steps_too(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(devices, "native_available", lambda: False)
    torch.set_num_threads(3)
    with pytest.raises(KeyError), fitting_threads(ModelConfig(), CPU):
        assert torch.get_num_threads() == 1
        raise KeyError
    assert torch.get_num_threads() == 3


def test_a_gpu_that_is_not_there_is_refused():
    there = torch.cuda.device_count()
    with pytest.raises(ConfigError, match=f"torch sees {there} GPUs"):
        choose_device(f"cuda:{there}")


def test_precision_is_what_was_asked_for():
    assert choose_precision(TrainingConfig(precision="fp32"), CPU) == torch.float32
    assert choose_precision(TrainingConfig(precision="bf16"), CPU) == torch.bfloat16
