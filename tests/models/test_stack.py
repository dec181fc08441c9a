import pytest

from rnnlm.config import ModelConfig
from rnnlm.models import build, lstm


@pytest.mark.parametrize(
    ("architecture", "size", "native", "alone"),
    [
        ("simple", 512, True, True),
        ("gru", 512, True, True),
        ("gru", 513, True, False),
        ("mogrifier", 16, True, True),
        ("mingru", 16, True, False),
        ("lstm", 16, True, False),
        ("lstm", 16, False, True),
    ],
)
def test_models_with_many_small_products_want_one_thread(
    architecture: str, size: int, native: bool, alone: bool, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(lstm, "native_available", lambda: native)
    config = ModelConfig.model_validate({"architecture": architecture, "hidden_size": size})
    assert build(config, 5).wants_one_thread == alone
