"""Build the wheel with the package `flows` inside the package `rnnlm_flows`.

There it does not hide a package `flows` of the user; see rnnlm_flows/__init__.py. Everything else
about the build is in pyproject.toml.
"""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildPy(build_py):
    """Copy the packages, and move `flows`."""

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


setup(cmdclass={"build_py": BuildPy})
