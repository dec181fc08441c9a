"""The stage `ingest`: it turns source files into documents, divided into splits."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flows.chain.records import RECORD_FILE, read_record
from flows.chain.stage import RecordedStage, Run
from flows.runtime import workers
from rnnlm.corpora.catalog import catalog
from rnnlm.corpora.fetching import is_here
from rnnlm.corpora.files import digest
from rnnlm.corpora.ingestion import Corpus
from rnnlm.corpora.ingestion import ingest as ingest_corpus
from rnnlm.progress import OnProgress


class Ingest(RecordedStage[Corpus]):
    """Source files → documents in splits."""

    name = "ingest"
    version = 4
    result_type = Corpus
    folder = "corpora"

    def ingredients(self, run: Run) -> Mapping[str, Any]:
        """Return the digest of the files, and the settings for reading and splitting them."""
        return {
            "source": digest(run.files, run.home.sources),
            "corpus": run.experiment.corpus.model_dump(exclude={"form", "condition"}),
            "splits": run.experiment.splits.model_dump(),
        }

    def recall(self, run: Run) -> Corpus | None:
        """Return the recorded corpus; None also if its files would have to be fetched."""
        return None if _bytes_to_fetch(run) else super().recall(run)

    def why(self, run: Run) -> str:
        """Return what has changed, or how much has to be fetched."""
        if size := _bytes_to_fetch(run):
            return f"its files are not fetched yet ({size / 1e6:.1f} MB)"
        return super().why(run)

    def work(self, run: Run, out: Path, tell: OnProgress) -> Corpus:
        """Read, clean and split the documents."""
        experiment = run.experiment
        with workers.executor(sum(file.size for file in run.files)) as executor:
            return ingest_corpus(
                run.files, experiment.corpus, experiment.splits, out, tell, executor
            )

    def describe(self, run: Run, result: Corpus) -> str:  # noqa: ARG002
        """Return the amount of text, and how many documents were dropped."""
        documents, characters = sum(result.documents.values()), sum(result.characters.values())
        dropped = sum(result.dropped.values())
        said = f"{documents:,} documents, {characters:,} characters"
        return f"{said}, {dropped:,} dropped" if dropped else said


def source_digest(corpus: Corpus) -> str:
    """Return the digest that a corpus's source files had when the corpus was read from them."""
    record = read_record(Path(corpus.uri) / RECORD_FILE) or {"ingredients": {}}
    return str(record["ingredients"].get("source", ""))


def _bytes_to_fetch(run: Run) -> int:
    """Return the bytes of a catalog entry's files if they are not fetched yet, else 0."""
    entry = catalog().get(run.experiment.corpus.source)
    return entry.bytes if entry and not is_here(entry, run.home.sources) else 0
