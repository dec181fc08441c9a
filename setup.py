"""Build the native code, and put the package `flows` inside the package `rnnlm_flows`.

All native code is optional: what the compiler cannot build is skipped, and Python does the work.
Nothing here needs OpenMP. Everything else about the build is in pyproject.toml.
"""

import os
import platform
import shutil
import sys
import sysconfig
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_py import build_py

# The same sources, built once per set of instructions; processor.c says which a processor has.
WIDE = ["-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mfma", "-mprefer-vector-width=512"]
X86 = {
    "avx2": ["-mavx2", "-mfma"],
    "avx512": WIDE,
    "avx512_vnni": [*WIDE, "-mavx512vnni"],
    "avx512_bf16": [*WIDE, "-mavx512vnni", "-mavx512bf16"],
    "amx": [*WIDE, "-mavx512vnni", "-mavx512bf16", "-mamx-tile", "-mamx-int8"],
}
ARM = {
    "neon_dotprod": ["-march=armv8.2-a+dotprod"],
    "neon_bf16": ["-march=armv8.2-a+dotprod+i8mm+bf16"],
}
BUILDS = {"x86_64": X86, "amd64": X86, "aarch64": ARM, "arm64": ARM}

# Without contraction, two operations in the source are rounded twice on every processor.
EXACT = ["-fno-math-errno", "-fno-trapping-math", "-fno-strict-aliasing", "-ffp-contract=off"]


def target() -> str:
    """Return the architecture to build for, as the system names it: `x86_64`, `arm64`, ..."""
    if sys.platform == "darwin":
        # Python's own builds for macOS hold code for both architectures, and would compile for
        # both, but each accepts only its own flags.
        words = os.environ.setdefault("ARCHFLAGS", f"-arch {platform.machine()}").split()
        return words[-1]
    return sysconfig.get_platform().rpartition("-")[2]


def extension(name: str, sources: list[str], headers: list[str], *flags: str) -> Extension:
    """Return a library, such as `corpora._text`, to be built from files in its package's folder."""
    folder = Path("rnnlm", name.partition(".")[0])
    return Extension(
        f"rnnlm.{name}",
        sources=[str(folder / file) for file in sources],
        depends=[str(folder / file) for file in headers],
        extra_compile_args=["-O3", *flags],
        optional=True,
    )


def kernels(build: str, own: list[str]) -> Extension:
    """Return the build of the kernels with some flags of its own."""
    files = ["recurrence.c", "slots.c"], ["products.h"]
    return extension(f"kernels._{build}", *files, *EXACT, *own)


class BuildPy(build_py):
    """Copy the packages, and move `flows`.

    There it does not hide a package `flows` of the user; see rnnlm_flows/__init__.py.
    """

    def run(self) -> None:
        """Run the usual build, then move the folder, unless the install is editable."""
        super().run()
        if self.editable_mode:
            return
        made, inside = (
            Path(self.build_lib, *parts) for parts in (("flows",), ("rnnlm_flows", "flows"))
        )
        shutil.rmtree(inside, ignore_errors=True)
        shutil.move(made, inside)


setup(
    cmdclass={"build_py": BuildPy},
    options={"build_ext": {"parallel": os.cpu_count()}},
    ext_modules=[
        extension("corpora._shingles", ["shingles.c"], []),
        extension("corpora._text", ["text.c"], ["text.h"]),
        extension("corpora._cutting", ["cutting.c"], ["blake2b.h", "text.h"]),
        extension("kernels._processor", ["processor.c"], []),
        kernels("portable", []),
        *(kernels(build, own) for build, own in BUILDS.get(target(), {}).items()),
    ],
)
