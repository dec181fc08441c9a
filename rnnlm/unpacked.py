"""Keep the tokens of a large split on disk, in raw files that are mapped into memory."""

import os
import shutil
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from rnnlm.checksums import first_fault, list_files, read_record, write_record
from rnnlm.errors import StorageError
from rnnlm.tokens import TokenArrays

_UNPACKED_FILE = "unpacked.json"


def mapped(parts: Iterable[TokenArrays], ids: np.dtype[Any], folder: Path) -> TokenArrays:
    """Map a split's raw files, one per array; unpack the split first unless they are intact.

    A record next to the files holds their digests, by which they are verified.

    Args:
        parts: The documents of the split; read only if the split must be unpacked.
        ids: Type of the token ids.
        folder: Folder of the raw files; replaced if it is damaged.

    Raises:
        StorageError: The files cannot be written.
    """
    types = {"tokens": ids, "offsets": np.dtype(np.int64)}
    types |= {"characters": np.dtype(np.int64), "bytes": np.dtype(np.int64)}
    record = read_record(folder / _UNPACKED_FILE)
    if record is None or first_fault(folder, record["files"]) is not None:
        shutil.rmtree(folder, ignore_errors=True)
        temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
        temporary.mkdir(parents=True)
        try:
            with ExitStack() as stack:
                out = {n: stack.enter_context((temporary / n).open("wb")) for n in types}
                out["offsets"].write(np.zeros(1, np.int64).data)
                start = 0
                for part in parts:
                    out["tokens"].write(part.tokens.data)
                    out["offsets"].write((part.offsets[1:] + start).data)
                    out["characters"].write(part.characters.data)
                    out["bytes"].write(part.bytes.data)
                    start += len(part.tokens)
            write_record(temporary / _UNPACKED_FILE, {"files": list_files(temporary)})
            temporary.replace(folder)
        except OSError as error:
            raise StorageError(
                f"cannot unpack the tokens to {folder}: {error.strerror or error}; free some space"
            ) from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    return TokenArrays(**{n: np.memmap(folder / n, dtype=t, mode="r") for n, t in types.items()})
