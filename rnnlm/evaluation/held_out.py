"""Score the test split with a model and with n-gram models, and write the scores to files."""

from itertools import compress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rnnlm import checkpoint, dataset
from rnnlm.conditioning import iter_with_headers
from rnnlm.devices import choose_device
from rnnlm.errors import DatasetError
from rnnlm.evaluation.comparison import TextNats
from rnnlm.evaluation.intervals import bits_per_character_interval
from rnnlm.evaluation.results import (
    NATS_FILE,
    NGRAM_NATS_FILE,
    SCORED_FILE,
    SCORES_FILE,
    Evaluation,
    TestScores,
    yardstick,
)
from rnnlm.evaluation.scoring import evaluate
from rnnlm.overlap import Hashes, unread
from rnnlm.progress import OnProgress, silent
from rnnlm.saved import read_array
from rnnlm.storage import atomic_path, write_json
from rnnlm.tokenizer import Tokenizer
from rnnlm.tokens import TokenArrays, spread

MOST_SCORED = 10_000_000
"""Most characters of a test split to score. If it has more, only a part of its documents is scored,
which are spread evenly over the split."""


def figures_beside(
    evaluation: Evaluation, own: Evaluation | None, characters: Evaluation | None
) -> dict[str, int | float]:
    """Return the figures of a model's score, including its interval and the n-gram models' scores.

    `TestScores.figures` lists their names.

    Args:
        evaluation: Evaluation of the model.
        own: Evaluation of an n-gram model of the model's own tokens; None to leave it out.
        characters: Evaluation of an n-gram model of characters, the common baseline for all
            models; None to leave it out.
    """
    low, high = bits_per_character_interval(evaluation)
    figures = evaluation.score.figures()
    figures |= {"bits_per_character_low": low, "bits_per_character_high": high}
    if characters is not None:
        figures["ngram_bits_per_character"] = characters.score.bits_per_character
    if own is not None:
        figures["ngram_perplexity"] = own.score.perplexity
        figures["own_ngram_bits_per_character"] = own.score.bits_per_character
    return figures


def score_test_split(
    checkpoint_path: Path,
    ngram_path: Path,
    tokens_uri: str,
    out: Path,
    on_progress: OnProgress = silent,
    known: Hashes | None = None,
) -> TestScores:
    """Score a checkpoint and the n-gram models on a test split and write the scores into `out`.

    If the test split has more than `MOST_SCORED` characters, only a part of its documents is
    scored, which are spread evenly over the split.

    Args:
        checkpoint_path: The model.
        ngram_path: N-gram model of the model's own tokens. The n-gram model of characters is next
            to it.
        tokens_uri: Folder of the token shards.
        out: Folder for `scores.json`, `nats.npz`, `ngram-nats.npz` and `scored.npy`.
        on_progress: Called with the number of tokens scored.
        known: Hashes of windows (runs of 13 words) of the training text of the model's base, see
            `rnnlm.overlap`. Documents that the base has read are left out.

    Raises:
        CheckpointError: A model cannot be read.
        DatasetError: There are no shards.
        EmptySplitError: The test split is empty, or the base has read all of it.
        StorageError: The scores cannot be written.
    """
    whole = dataset.load_split(tokens_uri, "test")
    loaded, counted = checkpoint.load(checkpoint_path, choose_device()), checkpoint.load(ngram_path)
    kept = spread(whole.characters, MOST_SCORED)
    is_new = _unread(whole.only(kept), loaded.tokenizer, known)
    kept[kept] = is_new
    arrays = whole.only(kept)
    evaluation = evaluate(loaded.model, arrays, loaded.tokenizer.lost_id, on_progress)
    own = beside = evaluate(counted.model, arrays, loaded.tokenizer.lost_id)
    if (path := yardstick(ngram_path)) != ngram_path:
        characters = checkpoint.load(path)
        spelled = dataset.load_split(str(path.parent), "test").only(kept)
        beside = evaluate(characters.model, spelled, characters.tokenizer.lost_id)
    figures = figures_beside(evaluation, own, beside)
    figures["overlap_documents"] = int(np.count_nonzero(~is_new))
    per_document = {
        "document_nll_nats": evaluation.document_nll_nats,
        "ngram_document_nll_nats": beside.document_nll_nats,
    }
    rounded = {k: [round(nats, 6) for nats in v.tolist()] for k, v in per_document.items()}
    write_json(out / SCORES_FILE, {**figures, **rounded})
    TextNats.of(evaluation).save(out / NATS_FILE)
    TextNats.of(beside).save(out / NGRAM_NATS_FILE)
    with atomic_path(out / SCORED_FILE) as temporary, temporary.open("wb") as file:
        np.save(file, kept)
    return TestScores(uri=str(out), figures=figures)


def scored_documents(scores: TestScores, arrays: TokenArrays) -> TokenArrays:
    """Return the documents of a test split that `score_test_split` scored.

    Args:
        scores: The scores that `score_test_split` returned.
        arrays: The whole test split.

    Raises:
        DatasetError: The scores are of another split.
    """
    path = Path(scores.uri) / SCORED_FILE
    if not path.is_file():  # scores of an earlier version, which scored all documents
        return arrays
    kept = read_array(path, "score the checkpoint again")
    if kept.shape != arrays.characters.shape:
        raise DatasetError(
            f"the scores are of a test split of {len(kept):,} documents, but this one has "
            f"{len(arrays.characters):,}; score the checkpoint on this split"
        )
    return arrays.only(kept)


def _unread(arrays: TokenArrays, words: Tokenizer, known: Hashes | None) -> NDArray[np.bool_]:
    """Return whether each document is new to the model's base, shape (documents,).

    Args:
        arrays: The documents.
        words: The tokenizer of their tokens.
        known: Hashes of windows that the base has read; None or empty without a base.
    """
    count = len(arrays.lengths)
    if known is None or not len(known):
        return np.ones(count, dtype=np.bool_)
    bounds = zip(arrays.offsets[:-1], arrays.offsets[1:], strict=True)
    texts = [words.decode(arrays.tokens[start : end - 1].tolist()) for start, end in bounds]
    return unread(texts, known, "the base")


def score_corpus(
    checkpoint_path: Path,
    corpus_uri: str,
    out: Path,
    on_progress: OnProgress = silent,
    known: Hashes | None = None,
    without: NDArray[np.bool_] | None = None,
) -> TestScores:
    """Score a checkpoint on the test documents of any corpus, with the checkpoint's tokenizer.

    Args:
        checkpoint_path: The model. The corpus must have the attributes that it is conditioned on.
        corpus_uri: Folder of the corpus's documents.
        out: Folder for `nats.npz`.
        on_progress: Called with the number of tokens scored.
        known: Hashes of windows (runs of 13 words) of text that was read before, see
            `rnnlm.overlap`. Documents that overlap with this text are left out.
        without: Whether to leave out each test document, shape (test documents,); None for none.

    Raises:
        CheckpointError: The model cannot be read.
        CorpusError: There is no corpus, or it lacks an attribute that the model needs.
        EmptySplitError: The test split is empty.
        StorageError: The scores cannot be written.
    """
    loaded = checkpoint.load(checkpoint_path, choose_device())
    condition = loaded.experiment.corpus.condition
    sizes = [*map(len, iter_with_headers(corpus_uri, "test", condition))]
    kept = spread(np.array(sizes, dtype=np.int64), MOST_SCORED)
    if without is not None:
        kept &= ~without
    texts = [*compress(iter_with_headers(corpus_uri, "test", condition), kept)]
    if known is not None:
        texts = [*compress(texts, unread(texts, known, "the base"))]
    arrays = dataset.from_texts(loaded.tokenizer, texts)
    evaluation = evaluate(loaded.model, arrays, loaded.tokenizer.lost_id, on_progress)
    TextNats.of(evaluation).save(out / NATS_FILE)
    return TestScores(uri=str(out), figures=figures_beside(evaluation, None, None))
