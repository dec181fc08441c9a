"""A target of the fuzzer: a reader or parser, and the inputs for it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import strategies as st


@dataclass(frozen=True)
class Target:
    """A reader or parser to be fuzzed.

    Attributes:
        name: Name of the target.
        documents: Strategy for documents.
        vary: Returns a variation of a document; its second argument, some bytes, decides which.
        run: Reads a document; may write to the folder. It must return, or raise an `RnnlmError` of
            one line.
        share: Share of the cases, relative to other targets: cheap targets have more.
        variations: Number of variations of each document.
    """

    name: str
    documents: st.SearchStrategy[Any]
    vary: Callable[[Any, bytes], Any]
    run: Callable[[Any, Path], object]
    share: float = 1.0
    variations: int = 40
