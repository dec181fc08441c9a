"""Read any file in the form in which a model was trained on its corpus."""

from collections.abc import Iterator
from pathlib import Path

from rnnlm.conditioning import header
from rnnlm.config import CorpusConfig, ReadingConfig, from_values, shorten
from rnnlm.corpora import preview
from rnnlm.corpora.catalog import catalog


def read_text(text: Path, config: CorpusConfig, cache: Path) -> Iterator[str]:
    """Yield the documents of a file in the form in which a model of the corpus was trained on them.

    The file is cleaned, split into documents and rendered with the settings of the model's corpus.
    If that corpus comes from the catalog, its records have other fields than the file; then the
    settings for reading and rendering are chosen by the file's format instead. If the model expects
    attribute values before each text, they are empty.

    Args:
        text: Path of the file.
        config: Settings of the corpus that the model was trained on.
        cache: Folder for downloaded files.

    Raises:
        CorpusError: The file cannot be read.
    """
    of_the_corpus = {"source", "sources", "reader", "encoding", "attributes", "condition"}
    if config.source in catalog():
        of_the_corpus |= {*ReadingConfig.model_fields}
    kept = config.model_dump(exclude=of_the_corpus, exclude_defaults=True)
    before = header({}, config.condition)
    shown = shorten(str(text), 80)
    given = from_values({"name": "text", "corpus": {**kept, "source": str(text)}}, origin=shown)
    for document in preview.documents(given.corpus, cache):
        yield before + document
