"""Build the reference of a corpus, and store it in the corpus's folder for later jobs.

A reference is an index of training text that generated texts are compared with; see
`rnnlm.audit.reference`.
"""

from pathlib import Path

from filelock import FileLock

from rnnlm.audit.reference import Reference, build_reference
from rnnlm.bases.windows import windows_of
from rnnlm.canaries import canaries_of
from rnnlm.errors import EmptySplitError, StorageError
from rnnlm.generation.manifest import Source
from rnnlm.header import Describing
from rnnlm.storage import file_digest, value_digest

REFERENCES = "references"
"""Name of the folder that contains the references, within a corpus's folder."""


def reference_for(source: Source, form: str, model: Describing) -> Reference | None:
    """Return the reference to compare texts with, building it if needed.

    It is stored in the corpus's folder, where later jobs find it. Returns None if a split that it
    needs is empty.

    Args:
        source: The corpus that the model was trained on.
        form: What a text should be; see `CorpusConfig.form`.
        model: The model.

    Raises:
        StorageError: The corpus's folder cannot be written to.
    """
    judge = file_digest(source.baseline) if source.baseline else model.tokenizer.to_json()
    base = file_digest(source.base) if source.base else None
    canaries = canaries_of(model.experiment, model.tokenizer)
    parts = [form, judge, base, *([canaries] if canaries else [])]
    folder = Path(source.uri) / REFERENCES / value_digest(parts)[:16]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_suffix(".lock")):
            return build_reference(
                source.uri,
                source.digest,
                form,
                model.tokenizer,
                folder,
                source.baseline,
                windows_of(source.base) if source.base else None,
                canaries,
            )
    except EmptySplitError:
        return None
    except OSError as error:
        raise StorageError(
            f"cannot write {folder}: {error.strerror or error}; free some space, or make the "
            "corpus's folder writable"
        ) from error
