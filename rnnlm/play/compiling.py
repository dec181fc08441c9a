"""Compile the sampling engine to WebAssembly: `make wasm`.

The result is kept in the repository, so that nobody needs a compiler to make a page. The same
version of clang gives the same bytes everywhere.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

CLANG = "clang-19"
"""The version whose output is kept; Debian and Ubuntu have packages clang-19 and lld-19."""
SOURCE = Path(__file__).with_name("one_text.c")
COMPILED = SOURCE.with_suffix(".wasm")
_FLAGS = (
    "--target=wasm32",
    "-O3",
    "-msimd128",
    "-mbulk-memory",
    "-ffp-contract=off",  # as for native code: every operation is rounded
    "-fno-math-errno",
    "-fno-trapping-math",
    "-fno-strict-aliasing",
    "-fvisibility=hidden",
    "-Wall",
    "-Werror",
    "-nostdlib",
    "-Wl,--no-entry",
    "-Wl,--export-dynamic",
    "-Wl,--strip-all",
    "-Wl,-z,stack-size=65536",
)


def compiler() -> str | None:
    """Return the path of the compiler, or None if it is not installed."""
    return shutil.which(CLANG)


def compile_engine(to: Path) -> None:
    """Compile one_text.c, and slots.c within it, to a WebAssembly module.

    Args:
        to: Path of the module.

    Raises:
        subprocess.CalledProcessError: The compiler is missing a part, or found an error.
    """
    found = compiler()
    assert found is not None
    subprocess.run([found, *_FLAGS, SOURCE.name, "-o", str(to)], cwd=SOURCE.parent, check=True)
    to.chmod(0o644)


def main() -> None:
    """Compile the engine in place, and print its size."""
    if compiler() is None:
        sys.exit(
            f"error: no {CLANG} (expected packages {CLANG} and {re.sub('clang', 'lld', CLANG)})"
        )
    compile_engine(COMPILED)
    sys.stdout.write(f"{COMPILED.name}, {COMPILED.stat().st_size:,} bytes\n")


if __name__ == "__main__":
    main()
