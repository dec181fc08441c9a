"""How Sphinx builds the site from the Markdown pages; `make docs` runs it.

The source folder is the root of the project, so that a page's links are the same here and in the
repository.
"""

import sys
from pathlib import Path

from sphinx.application import Sphinx

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from rnnlm import __version__

project = "rnnlm"
release = version = __version__
html_title = f"rnnlm {release}"
html_theme = "furo"
html_copy_source = False
html_extra_path = ["index.html"]  # leads to README.html

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
root_doc = "README"
include_patterns = ["*.md", "docker/README.md", "docs/**.md", "rnnlm/bases/*.md"]
myst_heading_anchors = 4  # links to headings, as GitHub writes them
myst_fence_as_directive = ["math"]
myst_enable_extensions = ["dollarmath"]
default_role = "code"  # docstrings write code in single backticks
autodoc_member_order = "bysource"

CONTENTS = """
```{toctree}
:hidden:
:caption: Guides

docs/corpora
docs/models
docs/generation
docs/play
docs/python
docs/retraining
docs/operations
docs/scale
docs/simple-rnn
```
```{toctree}
:hidden:
:caption: Reference

docs/commands
docs/settings
docs/api
docs/stability
SECURITY
docker/README
rnnlm/bases/base-english
```
```{toctree}
:hidden:
:caption: Measurements

docs/quality
docs/comparison
docs/examples
docs/reliability
docs/hardware
docs/testing
docs/dependencies
docs/experiments
```
```{toctree}
:hidden:
:caption: Development
:glob:

CONTRIBUTING
docs/architecture
CHANGELOG
docs/decisions/*
```
"""


def setup(app: Sphinx) -> None:
    """Add the table of contents to the README, where GitHub would show it as code."""
    app.connect("source-read", _add_contents)


def _add_contents(_app: Sphinx, page: str, content: list[str]) -> None:
    if page == root_doc:
        content[0] += CONTENTS
