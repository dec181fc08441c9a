import subprocess
import sys
from pathlib import Path

import pytest
import torch

from rnnlm import checkpoint
from rnnlm.engine.loading import load_sampler
from rnnlm.kernels.native import native_available
from rnnlm.models import build
from rnnlm.tokenizer import CharacterTokenizer
from tests.conftest import ROOT, tiny_experiment

MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in (ROOT / "rnnlm").rglob("*.py")
)


def test_the_library_imports_neither_prefect_nor_mlflow():
    script = f"""
import importlib, sys
for name in {MODULES}:
    importlib.import_module(name)
heavy = [{{name.split(".")[0] for name in sys.modules}} & {{"prefect", "mlflow", "matplotlib"}}]
assert heavy == [set()], heavy
"""
    subprocess.run([sys.executable, "-c", script], check=True, cwd=ROOT)


def test_importing_the_package_imports_nothing_heavy():
    script = "import sys, rnnlm; assert not {'torch', 'numpy', 'pyarrow'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True, cwd=ROOT)


def test_importing_creates_no_folder(tmp_path: Path):
    script = "import flows.cli, flows.retrain, flows.servers.pages, flows.generation"
    subprocess.run(
        [sys.executable, "-c", script], check=True, cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}
    )
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize(
    "modules",
    [
        "rnnlm.batching, rnnlm.models, rnnlm.training.objective, rnnlm.training.optimizing",
        "rnnlm.engine, rnnlm.models",
    ],
)
def test_imports_of_benchmarks_need_only_a_bare_machine(modules: str):
    script = f"""
import sys, numpy.random, pydantic, torch, torch.distributed, torch.optim
known = {{name.split(".")[0] for name in sys.modules}}
import {modules}
more = {{name.split(".")[0] for name in sys.modules}} - known - sys.stdlib_module_names
more = {{name for name in more if not name.startswith(("_", "annotated"))}}
assert more == {{"rnnlm"}}, more
"""
    subprocess.run([sys.executable, "-c", script], check=True, cwd=ROOT)


def test_commands_that_neither_train_nor_draw_do_not_import_torch():
    script = """
import sys
import flows.chain.stages, flows.console.screens, flows.housekeeping
import flows.registry.bases, flows.retrain, flows.sweep, flows.transfer.importing
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], check=True, cwd=ROOT)


def test_corpora_are_read_without_pandas():
    script = (
        "import sys, rnnlm.autoconfig, rnnlm.corpora.ingestion; assert 'pandas' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=ROOT)


def test_code_that_runs_before_the_server_does_not_import_prefect():
    script = """
import sys
import flows.cli, flows.chain.plan, flows.chain.stages, flows.commands.naming, flows.console.screens
import flows.registry.bases
assert "prefect" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], check=True, cwd=ROOT)


@pytest.mark.skipif(not native_available(), reason="no compiler made native code")
def test_data_sets_are_drawn_from_packed_models_without_torch(tmp_path: Path):
    torch.manual_seed(1)
    experiment, words = tiny_experiment(), CharacterTokenizer("abc ")
    model = tmp_path / "model.safetensors"
    checkpoint.save(model, build(experiment.model, words.vocab_size), words, experiment, {})
    load_sampler(model, tmp_path / "packed")  # packs it
    script = f"""
import sys
from pathlib import Path
from rnnlm.config import GenerationConfig
from rnnlm.generation.job import generate
out, packed = Path({str(tmp_path)!r}, "texts"), Path({str(tmp_path)!r}, "packed")
config = GenerationConfig(count=30, max_length=20)
assert generate(Path({str(model)!r}), config, out, "text", packed=packed).count == 30
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], check=True, cwd=ROOT)
