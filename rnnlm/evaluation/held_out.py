"""The test split's score as it is written down: the model's, and the n-gram model's beside it."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from rnnlm import checkpoint, dataset
from rnnlm.devices import choose_device
from rnnlm.evaluation.comparison import TextNats
from rnnlm.evaluation.intervals import bits_per_character_interval
from rnnlm.evaluation.scoring import Evaluation, evaluate
from rnnlm.progress import OnProgress, silent
from rnnlm.storage import write_json

SCORES_FILE = "scores.json"
NATS_FILE = "nats.npz"
NGRAM_NATS_FILE = "ngram-nats.npz"


class TestScores(BaseModel):
    """What a checkpoint scores on a test split.

    Attributes:
        uri: Folder that holds `scores.json`, with the nats of each document, and `nats.npz`,
            `ngram-nats.npz` with those of each piece too.
        figures: `Score.figures()`; `bits_per_character_low` and `_high`, its 95% interval; and
            `ngram_bits_per_character`, `ngram_perplexity` of the n-gram model on the same text.
    """

    model_config = ConfigDict(frozen=True)

    uri: str
    figures: dict[str, int | float]


def figures_beside(evaluation: Evaluation, beside: Evaluation | None) -> dict[str, int | float]:
    """Return a score's figures, its interval, and the n-gram model's score if there is one."""
    low, high = bits_per_character_interval(evaluation)
    figures = evaluation.score.figures()
    figures |= {"bits_per_character_low": low, "bits_per_character_high": high}
    if beside is not None:
        figures["ngram_bits_per_character"] = beside.score.bits_per_character
        figures["ngram_perplexity"] = beside.score.perplexity
    return figures


def score_test_split(
    checkpoint_path: Path,
    ngram_path: Path,
    tokens_uri: str,
    out: Path,
    on_progress: OnProgress = silent,
) -> TestScores:
    """Score a checkpoint and the n-gram model on a test split and write the scores into `out`.

    Raises:
        CheckpointError: A model cannot be read.
        DatasetError: There are no shards.
        EmptySplitError: The test split is empty.
        StorageError: The result cannot be written.
    """
    arrays = dataset.load_split(tokens_uri, "test")
    loaded, counted = checkpoint.load(checkpoint_path, choose_device()), checkpoint.load(ngram_path)
    evaluation = evaluate(loaded.model, arrays, loaded.tokenizer.unknown_id, on_progress)
    beside = evaluate(counted.model, arrays, loaded.tokenizer.unknown_id)
    figures = figures_beside(evaluation, beside)
    per_document = {
        "document_nll_nats": evaluation.document_nll_nats,
        "ngram_document_nll_nats": beside.document_nll_nats,
    }
    rounded = {k: [round(nats, 6) for nats in v.tolist()] for k, v in per_document.items()}
    write_json(out / SCORES_FILE, {**figures, **rounded})
    TextNats.of(evaluation).save(out / NATS_FILE)
    TextNats.of(beside).save(out / NGRAM_NATS_FILE)
    return TestScores(uri=str(out), figures=figures)


def score_corpus(
    checkpoint_path: Path, corpus_uri: str, out: Path, on_progress: OnProgress = silent
) -> TestScores:
    """Score a checkpoint on the test documents of any corpus, by its own tokenizer.

    Args:
        checkpoint_path: The model; what its texts are told, the corpus must have.
        corpus_uri: Folder of the corpus's documents.
        out: Gets `nats.npz`.
        on_progress: Told the tokens scored.

    Raises:
        CheckpointError: The model cannot be read.
        CorpusError: There is no corpus, or it lacks what the model is told.
        EmptySplitError: The test split is empty.
        StorageError: The result cannot be written.
    """
    loaded = checkpoint.load(checkpoint_path, choose_device())
    told = dataset.iter_told(corpus_uri, "test", loaded.experiment.corpus.condition)
    arrays = dataset.from_texts(loaded.tokenizer, [*told])
    evaluation = evaluate(loaded.model, arrays, loaded.tokenizer.unknown_id, on_progress)
    TextNats.of(evaluation).save(out / NATS_FILE)
    return TestScores(uri=str(out), figures=figures_beside(evaluation, None))
