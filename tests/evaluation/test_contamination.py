from pathlib import Path

from rnnlm.config import CorpusConfig, SplitConfig
from rnnlm.corpora.documents import iter_texts
from rnnlm.corpora.files import locate
from rnnlm.corpora.ingestion import ingest
from rnnlm.evaluation.contamination import trained_on
from tests.conftest import lines

PARAGRAPH = "A paragraph of {} with enough words in it to be no chance at all."


def ingested(folder: Path, name: str, text: str, by: str, **corpus: object) -> str:
    path = folder / f"{name}.txt"
    path.write_text(text)
    config = CorpusConfig.model_validate({"source": str(path), **corpus})
    splits = SplitConfig.model_validate({"by": by, "validation": 0.2, "test": 0.2})
    return ingest(locate(config, folder), config, splits, folder / name).uri


def test_lines_that_moved_into_training_are_found(tmp_path: Path):
    text = lines(200).splitlines()
    before = ingested(tmp_path, "before", "\n".join(text), "position")
    after = ingested(
        tmp_path, "after", "\n".join([*text, *lines(300).splitlines()[200:]]), "position"
    )
    held_out = [*iter_texts(before, "test")]
    trained = {*iter_texts(after, "train")}
    found = trained_on(iter_texts(before, "test"), after)
    assert [text in trained for text in held_out] == found.tolist()
    assert found.any()
    assert not trained_on(iter_texts(before, "test"), before).any()


def test_one_shared_paragraph_counts_as_trained_on(tmp_path: Path):
    def passages(start: int, stop: int) -> str:
        return "\n\n".join(PARAGRAPH.format(n) for n in range(start, stop))

    options = {"documents": "passages", "passage_characters": 500}
    first = ingested(tmp_path, "first", passages(0, 200), "position", **options)
    other = ingested(tmp_path, "other", passages(300, 500), "position", **options)
    assert not trained_on(iter_texts(first, "test"), other).any()
    (held_out, *_) = iter_texts(first, "test")
    mixed = held_out.split("\n\n")[1] + "\n\n" + passages(300, 500)
    other = ingested(tmp_path, "mixed", mixed, "position", **options)
    assert trained_on(iter_texts(first, "test"), other).sum() == 1


def test_growing_texts_split_by_hash_never_overlap(tmp_path: Path):
    text = lines(300).splitlines()
    before = ingested(tmp_path, "before", "\n".join(text[:150]), "hash")
    after = ingested(tmp_path, "after", "\n".join(text), "hash")
    assert not trained_on(iter_texts(before, "test"), after).any()
    assert not trained_on(iter_texts(after, "test"), before).any()
