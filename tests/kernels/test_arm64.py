"""Test the native code for ARM in an emulator, with a Python for ARM.

The code is compiled across, and `computing.py` is run twice: here, and in the emulator. Where 64-bit
ARM is the real processor, the other tests test its builds.
"""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
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

pytestmark = pytest.mark.slow

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
TOKENIZER = CharacterTokenizer("".join(map(chr, range(32, 127))))
MODELS = {
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
    for name, settings in MODELS.items():
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


def computed_here(out: Path, *folders: Path) -> dict[str, Any]:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return results([sys.executable, SCRIPT, *folders, out], environment)


def computed_on_arm(code: Path, cpu: str, out: Path, *folders: Path) -> dict[str, Any]:
    path = [ARM / "packages", code, sysconfig.get_path("purelib")]  # the last: packages in Python
    environment = {"PYTHONPATH": os.pathsep.join(map(str, path)), "PYTHONDONTWRITEBYTECODE": "1"}
    python = [EMULATOR, "-cpu", cpu, "-L", ARM, ARM / "usr" / "bin" / "python3", "-S"]
    return results([*python, SCRIPT, *folders, out], os.environ | environment)


def results(command: list[Any], environment: dict[str, str]) -> dict[str, Any]:
    ended = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert not ended.returncode, ended.stderr
    return json.loads((command[-1] / "results.json").read_text())


def folders(root: Path) -> tuple[Path, Path]:
    (root / "here").mkdir()
    (root / "arm").mkdir()
    return root / "here", root / "arm"


@pytest.mark.parametrize("cpu", CPUS)
def test_each_arm_processor_runs_its_builds_and_draws_what_this_one_does(
    cpu: str, arm_code: Path, models: Path, tmp_path: Path
):
    (tmp_path / "none").mkdir()
    ours, theirs = folders(tmp_path)
    here = computed_here(ours, models / "int8", tmp_path / "none")
    arm = computed_on_arm(arm_code, cpu, theirs, models / "int8", tmp_path / "none")
    assert (arm["machine"], arm["builds"]) == ("aarch64", CPUS[cpu])
    expected = here["drawn"][here["builds"][0]]
    assert len(expected) == len(MODELS)
    assert all(len(set(texts)) > 20 for texts in expected.values())
    for name in arm["builds"]:
        assert arm["drawn"][name] == expected, name


def test_the_builds_for_arm_agree_in_floats_and_on_corpora(
    arm_code: Path, models: Path, texts: Path, tmp_path: Path
):
    ours, theirs = folders(tmp_path)
    here = computed_here(ours, models / "wide", texts)
    arm = computed_on_arm(arm_code, "max", theirs, models / "wide", texts)
    assert arm["compiled"]
    assert len(arm["read"]) == 3
    assert arm["read"] == here["read"]
    best = here["builds"][0]
    for name in arm["builds"]:
        for precision in ("fp32", "bf16"):
            key = f"lstm-{precision}"
            pairs = zip(arm["drawn"][name][key], here["drawn"][best][key], strict=True)
            assert sum(a == b for a, b in pairs) > 0.8 * 40
            step, same = (
                np.load(folder / f"{build_name}-{precision}.npz")
                for folder, build_name in ((theirs, name), (ours, best))
            )
            for part in same:
                assert np.abs(same[part]).max() > 0.5
                assert np.allclose(step[part], same[part], rtol=1e-4, atol=1e-4), part
        if best != native.PORTABLE:  # multiplies and adds in one operation, as ARM does
            assert arm["drawn"][name]["lstm-fp32"] == here["drawn"][best]["lstm-fp32"]
