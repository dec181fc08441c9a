"""Compile the Triton kernels of a fused engine for GPUs that this machine need not have.

Run without TRITON_INTERPRET, as `python -m tests.kernels.triton_ahead`; it prints a line of JSON
for each kernel. The arguments are those with which a real step launches it; nothing is launched.
"""

import json
import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from rnnlm.config import ModelConfig
from rnnlm.engine.fused import FusedSlots
from rnnlm.engine.packing import pack
from rnnlm.engine.running import PRECISIONS
from rnnlm.kernels.slots import SlotSettings
from rnnlm.kernels.triton_drawing import draw
from rnnlm.kernels.triton_layer import step_layer, step_output
from rnnlm.models import build

TOOLS = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"
PRODUCTS = re.compile(r"wgmma\.mma_async[\w.:]+|\bmma\.sync[\w.:]+")
TYPES = {
    torch.int8: "*i8",
    torch.int32: "*i32",
    torch.int64: "*i64",
    torch.bfloat16: "*bf16",
    torch.float32: "*fp32",
    torch.float64: "*fp64",
}
ALL_RULES = SlotSettings(
    log2_inverse_temperature=1.5,
    top_k=40,
    top_p=0.9,
    least=1000,
    penalty=1.2,
    min_length=5,
    max_length=400,
    successors=np.zeros((3, 96), np.int32),
    distance=np.zeros(3, np.int32),
    starts=np.zeros(1, np.int32),
)


def launches(kernels: list, step) -> list[tuple[triton.JITFunction, tuple, dict]]:
    """Return the kernels that a step launches, with their arguments, without running them."""
    found = []
    for kernel in kernels:

        def run(*arguments, kernel=kernel, grid, warmup, **options):
            found.append((kernel, arguments, options))

        kernel.run = run
    step()
    return found


def compiled(kernel, arguments: tuple, options: dict, architecture: int) -> dict:
    """Compile a kernel ahead of time; return what the tools say about it."""
    names = [name for name in kernel.arg_names if name not in options]
    signature, constants, attributes = {}, {}, {}
    for place, (name, value) in enumerate(zip(names, arguments, strict=True)):
        if isinstance(value, torch.Tensor):
            signature[name] = TYPES[value.dtype]
            if value.data_ptr() % 16 == 0:
                attributes[(place,)] = [["tt.divisibility", 16]]
        elif value == 1 and isinstance(value, int):
            signature[name], constants[name] = "constexpr", 1
        else:
            signature[name] = "i32" if isinstance(value, int) else "fp32"
            if isinstance(value, int) and value % 16 == 0:
                attributes[(place,)] = [["tt.divisibility", 16]]
    fixed = {name: value for name, value in options.items() if name in kernel.arg_names}
    signature |= dict.fromkeys(fixed, "constexpr")
    source = ASTSource(kernel, signature, constants | fixed, attributes)
    how = {name: value for name, value in options.items() if name not in fixed}
    made = triton.compile(source, target=GPUTarget("cuda", architecture, 32), options=how)
    return {
        "kernel": kernel.__name__,
        "sm": architecture,
        "cubin": len(made.asm["cubin"]),
        "products": sorted({*PRODUCTS.findall(made.asm["ptx"])}),
        "fused": len(re.findall(r"fma\.rn\.f(?:32|64)", made.asm["ptx"])),
        "shared": made.metadata.shared,
        **usage(made.asm["cubin"]),
    }


def usage(cubin: bytes) -> dict[str, int]:
    """Return the registers and the bytes of stack (spilled registers) of a thread."""
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        told = subprocess.run(
            [TOOLS / "cuobjdump", "--dump-resource-usage", file.name],
            capture_output=True,
            text=True,
        ).stdout
    found = re.search(r"REG:(\d+) STACK:(\d+)", told)
    assert found, told
    return {"registers": int(found[1]), "stack": int(found[2])}


def report() -> Iterator[dict]:
    no_rules = SlotSettings(
        log2_inverse_temperature=1.5,
        top_k=0,
        top_p=1.0,
        least=1,
        penalty=1.0,
        min_length=0,
        max_length=400,
    )
    for precision, architecture, rules, vocab in (
        ("int8", "lstm", ALL_RULES, 96),
        ("bf16", "lstm", no_rules, 96),
        ("bf16", "gru", no_rules, 4096),
    ):
        how = ModelConfig(architecture=architecture, hidden_size=512, num_layers=2)
        network = pack(build(how, vocab).eval(), PRECISIONS[precision], None)
        nothing = [np.zeros(0, np.int32)]
        slots = FusedSlots(network, rules, 8192, 1, nothing, device=torch.device("cpu"))
        slots.is_interpreted = False
        for sm in (80, 90):
            for launch in launches([step_layer, step_output, draw], slots.step):
                about = {"precision": precision, "layers": architecture, "vocab": vocab}
                yield about | compiled(*launch, sm)


if __name__ == "__main__":
    for line in report():
        print(json.dumps(line), flush=True)
