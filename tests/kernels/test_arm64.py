"""Test the native code for ARM in an emulator, with a Python for ARM.

The code is compiled across, and `computing.py` is run twice: here, and in the emulator. On a real
ARM processor, the other tests test its builds.
"""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rnnlm.engine import packed
from rnnlm.engine.packing import pack
from rnnlm.engine.running import PRECISIONS
from rnnlm.header import Described
from rnnlm.kernels import native
from rnnlm.models import build
from rnnlm.tokenizer import CharacterTokenizer
from tests.conftest import ROOT, tiny_experiment

pytestmark = [pytest.mark.slow, pytest.mark.soak]

ARM = ROOT / ".arm64"
"""Where `.ci/arm64` puts a Python for ARM, and the packages that the library needs to sample."""
SCRIPT = Path(__file__).with_name("computing.py")
SUFFIX = f".cpython-3{sys.version_info.minor}-aarch64-linux-gnu.so"
COMPILER, EMULATOR = "aarch64-linux-gnu-gcc", "qemu-aarch64"
CPUS = {
    "max": ["neon_bf16", "neon_dotprod", "portable"],
    "neoverse-n1": ["neon_dotprod", "portable"],
    "cortex-a72": ["portable"],
}
"""Processors that the emulator has, with the builds that each can run, the fastest first."""
STRONGEST = "max"
TOKENIZER = CharacterTokenizer("".join(map(chr, range(32, 127))))
KINDS = {
    "lstm": {"architecture": "lstm"},
    "gru": {"architecture": "gru"},
    "sigmoid": {"architecture": "simple", "nonlinearity": "sigmoid"},
}


@pytest.fixture(scope="module")
def arm_code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the library with native code for ARM."""
    missing = [name for name in (COMPILER, EMULATOR) if shutil.which(name) is None]
    if missing:
        packages = "gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user"
        pytest.skip(f"no {' and no '.join(missing)} here (apt-get install {packages})")
    if not (ARM / "usr" / "bin" / f"python3.{sys.version_info.minor}").exists():
        pytest.skip(f"no Python 3.{sys.version_info.minor} for ARM in {ARM.name} (run .ci/arm64)")
    folder = tmp_path_factory.mktemp("arm64")
    ignored = shutil.ignore_patterns("*.so", "base-*", "__pycache__")
    shutil.copytree(ROOT / "rnnlm", folder / "rnnlm", ignore=ignored)
    across = {
        "_PYTHON_HOST_PLATFORM": "linux-aarch64",
        "SETUPTOOLS_EXT_SUFFIX": SUFFIX,
        "CC": COMPILER,
        "LDSHARED": f"{COMPILER} -shared",
    }
    subprocess.run(
        [sys.executable, "setup.py", "-q", "build_ext", "--build-lib", folder,
         "--build-temp", folder / "objects"],
        cwd=ROOT, env=os.environ | across, check=True, capture_output=True,
    )  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Packed models of 8 bits in one folder, and of more in the folder `wide` beside it."""
    root = tmp_path_factory.mktemp("models")
    for name, settings in KINDS.items():
        for precision, dtype in PRECISIONS.items():
            if precision != "int8" and name != "lstm":
                continue
            torch.manual_seed(1)
            experiment = tiny_experiment(model={"hidden_size": 70, "num_layers": 2, **settings})
            model = build(experiment.model, TOKENIZER.vocab_size).eval()
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter.mul_(3.0)
            network = pack(model, dtype, TOKENIZER.unknown_id)
            made = packed.PackedModel(network, precision, Described(experiment, TOKENIZER, {}))
            folder = root / ("int8" if precision == "int8" else "wide")
            folder.mkdir(exist_ok=True)
            packed.save(folder / f"{name}-{precision}.safetensors", made)
    return root


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Texts in three scripts and encodings."""
    folder = tmp_path_factory.mktemp("texts")
    for name in ("cp1251.txt", "zh-lines.txt", "paper.tex"):
        shutil.copy(ROOT / "tests" / "cases" / name, folder)
    return folder


@pytest.fixture(scope="module")
def here(models: Path, texts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of this processor."""
    out = tmp_path_factory.mktemp("here")
    run([sys.executable, SCRIPT, models, texts, out], PYTHONPATH=str(ROOT))
    return out


@pytest.fixture(scope="module")
def arm(
    arm_code: Path, models: Path, texts: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Path]:
    """A function that returns the results of an emulated processor; weaker ones compute less."""

    @cache
    def computed(cpu: str) -> Path:
        out, none = tmp_path_factory.mktemp(cpu), tmp_path_factory.mktemp("none")
        given = (models, texts) if cpu == STRONGEST else (models / "int8", none)
        path = [ARM / "packages", arm_code, sysconfig.get_path("purelib")]  # the last: pure Python
        python = [EMULATOR, "-cpu", cpu, "-L", ARM, ARM / "usr" / "bin" / "python3", "-S", "-B"]
        run([*python, SCRIPT, *given, out], PYTHONPATH=os.pathsep.join(map(str, path)))
        return out

    return computed


def run(command: list[Any], **environment: str) -> None:
    ended = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True)
    assert not ended.returncode, ended.stderr


def results(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "results.json").read_text())


@pytest.mark.parametrize("cpu", CPUS)
def test_each_arm_processor_runs_its_builds_and_draws_the_texts_of_this_one(
    cpu: str, arm: Callable[[str], Path], here: Path
):
    ours, theirs = results(here), results(arm(cpu))
    assert (theirs["machine"], theirs["builds"]) == ("aarch64", CPUS[cpu])
    expected = ours["drawn"][ours["builds"][0]]
    for kind in KINDS:
        name = f"{kind}-int8"
        assert len({*expected[name]["texts"]}) > 20
        for build_name in theirs["builds"]:
            assert theirs["drawn"][build_name][name] == expected[name]


def test_the_builds_for_arm_agree_in_floats(arm: Callable[[str], Path], here: Path):
    ours, theirs = results(here), results(arm(STRONGEST))
    best = ours["builds"][0]
    for build_name in theirs["builds"]:
        drawn = theirs["drawn"][build_name]
        for name in ("lstm-fp32", "lstm-bf16"):
            expected = ours["drawn"][best][name]["texts"]
            same = [a == b for a, b in zip(drawn[name]["texts"], expected, strict=True)]
            assert sum(same) > 0.8 * len(same)
        if best != native.PORTABLE:  # that multiplies and adds in one operation, as ARM does
            assert drawn["lstm-fp32"] == ours["drawn"][best]["lstm-fp32"]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_builds_for_arm_train_as_this_processor_does(
    precision: str, arm: Callable[[str], Path], here: Path
):
    best, folder = results(here)["builds"][0], arm(STRONGEST)
    mean, most = {"fp32": (1e-6, 1e-4), "bf16": (1e-3, 0.1)}[precision]
    expected = np.load(here / f"{best}-{precision}.npz")
    for build_name in CPUS[STRONGEST]:
        found = np.load(folder / f"{build_name}-{precision}.npz")
        for part in ("outputs", "cells", "grads", "last"):
            assert np.abs(expected[part]).max() > 0.5
            differences = np.abs(found[part] - expected[part])
            assert differences.mean() < mean
            assert differences.max() < most


def test_native_code_on_arm_makes_the_same_corpora(arm: Callable[[str], Path], here: Path):
    theirs = results(arm(STRONGEST))
    assert theirs["compiled"]
    assert len(theirs["read"]) == 3
    assert theirs["read"] == results(here)["read"]
