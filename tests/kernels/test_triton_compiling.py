"""The Triton kernels, compiled without a GPU; `make triton` runs these tests."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec

import pytest

from tests.conftest import ROOT

if find_spec("triton") is None:
    pytest.skip("needs Triton: run `make triton`", allow_module_level=True)

pytestmark = pytest.mark.triton


@pytest.fixture(scope="module")
def compiled() -> list[dict]:
    command = [sys.executable, "-m", "tests.kernels.triton_ahead"]
    environment = {name: v for name, v in os.environ.items() if name != "TRITON_INTERPRET"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_every_kernel_compiles_for_both_generations_of_gpus(compiled: list[dict]):
    found = {(kernel["kernel"], kernel["sm"]) for kernel in compiled}
    names = ("step_layer", "step_output", "draw")
    assert found == {(name, sm) for name in names for sm in (80, 90)}
    assert all(kernel["cubin"] > 1000 for kernel in compiled)


def test_no_registers_are_spilled_with_a_small_vocabulary(compiled: list[dict]):
    assert not any(kernel["stack"] for kernel in compiled if kernel["vocab"] < 1000)


def test_layers_use_the_matrix_instructions_of_the_gpu(compiled: list[dict]):
    for kernel in compiled:
        if kernel["kernel"] == "draw":
            continue
        instruction = {80: "mma.sync", 90: "wgmma.mma_async"}[kernel["sm"]]
        number = {"int8": "s8", "bf16": "bf16"}[kernel["precision"]]
        assert any(
            product.startswith(instruction) and f".{number}." in f"{product}."
            for product in kernel["products"]
        ), kernel


def test_operations_that_must_be_exact_are_each_rounded(compiled: list[dict]):
    exact = [k for k in compiled if k["kernel"] == "draw" or k["precision"] == "int8"]
    assert exact and not any(kernel["fused"] for kernel in exact)
    assert any(kernel["fused"] for kernel in compiled)  # bfloat16 layers may


def test_shared_memory_is_within_that_of_the_smallest_gpu(compiled: list[dict]):
    assert max(kernel["shared"] for kernel in compiled) <= 99 * 1024  # sm_86, sm_89
