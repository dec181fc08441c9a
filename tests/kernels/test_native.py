"""Test the interface to the compiled C code: which calls it accepts, how matrices are packed."""

import ctypes
import platform
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from rnnlm.kernels import native, recurrence
from rnnlm.kernels.memory import keep_freed_memory
from rnnlm.kernels.native import native_available


def test_a_packed_matrix_holds_every_number_once() -> None:
    matrix = np.random.default_rng(0).random((6, 100), np.float32)
    blocks = native.blocks(matrix)[..., 0]
    assert blocks.shape == (2, 6, native.COLUMNS)
    assert np.array_equal(np.concatenate(tuple(blocks), 1)[:, :100], matrix)
    assert np.count_nonzero(blocks) == matrix.size


def test_values_of_a_group_are_adjacent() -> None:
    matrix = torch.arange(4.0 * 64).view(4, 64)
    pairs = recurrence.pack(matrix, torch.bfloat16)
    assert pairs.shape == (1, 2, 64, 2)
    assert torch.equal(pairs[0, 1, 5].float(), matrix[2:4, 5])
    whole = (matrix % 100).to(torch.int8).numpy()
    bytes_of_four = native.blocks(whole)
    assert bytes_of_four.shape == (1, 1, 64, 4)
    assert np.array_equal(bytes_of_four[0, 0, 5], whole[:, 5])


def test_a_packed_matrix_begins_at_a_cache_line() -> None:
    for size in (1, 3, 64, 1000):
        assert native.blocks(np.ones((4, size), np.float32)).ctypes.data % native.LINE == 0


def test_the_instruction_sets_are_those_that_others_find() -> None:
    if not native_available():
        pytest.skip("the package was built without a C compiler for this processor")
    supported = native.load("processor").supported_sets()
    found = {name for place, name in enumerate(native.SETS) if supported >> place & 1}
    assert found == {name for name, is_supported in _expected().items() if is_supported}


def _expected() -> dict[str, bool]:
    """What torch says of x86, and what the operating system's own list says of ARM."""
    vnni = torch.cpu._is_avx512_supported() and torch.cpu._is_vnni_supported()
    listed: list[str] = []
    if platform.machine() == "aarch64":
        line = re.findall(r"^Features\s*:(.*)", Path("/proc/cpuinfo").read_text(), re.M)
        listed = line[0].split()
    elif platform.machine() == "arm64":
        asked = ["sysctl", "hw.optional.arm"]
        said = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
        names = {"FEAT_DotProd": "asimddp", "FEAT_I8MM": "i8mm", "FEAT_BF16": "bf16"}
        listed = [word for name, word in names.items() if f"{name}: 1" in said]
    return {
        "avx2": torch.cpu._is_avx2_supported(),
        "avx512": torch.cpu._is_avx512_supported(),
        "avx512_vnni": vnni,
        "avx512_bf16": vnni and torch.cpu._is_avx512_bf16_supported(),
        "amx": torch.cpu._is_amx_tile_supported() and torch.cpu._init_amx(),
        "neon_dotprod": "asimddp" in listed,
        "neon_bf16": {"asimddp", "i8mm", "bf16"} <= {*listed},
    }


def test_without_a_build_native_code_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    native.library.cache_clear()
    monkeypatch.setattr(native, "EXTENSION_SUFFIXES", [".nowhere"])
    assert not native_available()
    native.library.cache_clear()


def test_double_precision_and_unsupported_products_are_left_to_torch() -> None:
    assert not recurrence.usable(torch.float32, torch.zeros(2, 2, dtype=torch.float64))
    assert not recurrence.usable(torch.float16, torch.zeros(2, 2))
    assert not recurrence.usable(torch.bfloat16, torch.zeros(2, 3))


def test_every_build_for_this_processor_computes_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    if not native_available():
        pytest.skip("the package was built without a C compiler for this processor")
    results = []
    for name in native.names():
        monkeypatch.setattr(native, "library", lambda name=name: native.load(name))
        generator = torch.Generator().manual_seed(0)
        projected = torch.randn(5, 9, 4 * 34, generator=generator)
        weight = recurrence.pack(torch.randn(34, 4 * 34, generator=generator), torch.float32)
        gates = torch.zeros(5, 9, native.padded(4 * 34))
        cells, outputs = torch.zeros(2, 6, 9, 34)
        made = gates, cells, outputs, None
        recurrence.run("lstm_forward", (5, 9, 34), projected, weight, *made)
        results.append(outputs)
    assert all((outputs - results[0]).abs().max() < 1e-6 for outputs in results)


def test_freed_memory_is_kept_if_the_c_library_supports_it() -> None:
    assert keep_freed_memory() == hasattr(ctypes.CDLL(None), "mallopt")
