"""The stage `ingest`: it turns source files into documents and divides them into splits.

The splits are `train`, `validation` and `test`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flows.chain.records import RECORD_FILE
from flows.chain.stage import RecordedStage, Run
from flows.runtime import workers
from rnnlm.checksums import read_record
from rnnlm.corpora.catalog import catalog
from rnnlm.corpora.fetching import is_here
from rnnlm.corpora.files import digest
from rnnlm.corpora.ingestion import Corpus
from rnnlm.corpora.ingestion import ingest as ingest_corpus
from rnnlm.corpora.preview import unpacked
from rnnlm.errors import CorpusError
from rnnlm.progress import OnProgress


class Ingest(RecordedStage[Corpus]):
    """Read source files and write their documents, divided into splits."""

    name = "ingest"
    version = 5
    result_type = Corpus
    folder = "corpora"

    def ingredients(self, run: Run) -> Mapping[str, Any]:
        """Return the digest of the source files and the settings for reading and splitting them."""
        return {
            "source": digest(run.files, run.home.sources),
            "corpus": run.experiment.corpus.model_dump(exclude={"form", "condition"}),
            "splits": run.experiment.splits.model_dump(),
        }

    def recall(self, run: Run) -> Corpus | None:
        """Return the recorded corpus, or None.

        None means that there is no valid record, or that the source files are not fetched yet.
        """
        return None if _bytes_to_fetch(run) else super().recall(run)

    def why(self, run: Run) -> str:
        """Return how much has to be fetched, or else what has changed since the last record."""
        if size := _bytes_to_fetch(run):
            return f"its files are not fetched yet ({size / 1e6:.1f} MB)"
        return super().why(run)

    def work(self, run: Run, out: Path, tell: OnProgress) -> Corpus:
        """Read, clean and split the documents.

        Raises:
            CorpusError: The content of a file has changed, but not its size or its time.
        """
        experiment = run.experiment
        known = digest(run.files, run.home.sources)
        if digest(run.files, run.home.sources, reread=True) != known:
            raise CorpusError(
                f"a source file of {experiment.corpus.source or experiment.name} has changed, but "
                "its size and time have not, as if the disk had damaged it; compare it with a "
                "copy, then run the same command again to use it as it is"
            )
        with workers.executor(sum(file.size for file in run.files)) as executor:
            return ingest_corpus(
                run.files,
                experiment.corpus,
                experiment.splits,
                out,
                tell,
                executor,
                unpacked(run.home.sources),
            )

    def describe(self, run: Run, result: Corpus) -> str:  # noqa: ARG002
        """Return a line with the number of documents, of characters, and of dropped documents."""
        documents, characters = sum(result.documents.values()), sum(result.characters.values())
        dropped = sum(result.dropped.values())
        said = f"{documents:,} documents, {characters:,} characters"
        return f"{said}, {dropped:,} dropped" if dropped else said


def source_digest(corpus: Corpus) -> str:
    """Return the digest of the source files that a corpus was read from.

    It is taken from the corpus's record, since the files may have changed later. It is empty if
    there is no record.
    """
    record = read_record(Path(corpus.uri) / RECORD_FILE) or {"ingredients": {}}
    return str(record["ingredients"].get("source", ""))


def _bytes_to_fetch(run: Run) -> int:
    """Return the bytes that must be fetched first; 0 if the corpus's files are on this machine."""
    entry = catalog().get(run.experiment.corpus.source)
    return entry.bytes if entry and not is_here(entry, run.home.sources) else 0
