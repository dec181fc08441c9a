"""Scoring: every token of a text predicted exactly once, sums that add up."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from torch.nn import functional

from rnnlm import checkpoint, dataset
from rnnlm.batching import windows
from rnnlm.dataset import TokenArrays
from rnnlm.errors import EmptySplitError
from rnnlm.metrics import Score
from rnnlm.models import LanguageModel
from rnnlm.progress import OnProgress, Progress, silent
from rnnlm.storage import write_json

SCORES_FILE = "scores.json"
BATCH_SIZE = 64
WINDOW_TOKENS = 128
MOST_LOGITS = 1 << 26
"""Logits that are held at once: a quarter of a gigabyte."""


@dataclass(frozen=True)
class Evaluation:
    """A split's score and its parts.

    Attributes:
        score: Of the whole split.
        document_nll_nats: Nats per document, shape (documents,).
    """

    score: Score
    document_nll_nats: NDArray[np.float64]


class TestScores(BaseModel):
    """What a checkpoint scores on a test split.

    Attributes:
        uri: Folder that holds `scores.json`, with the nats of each document.
        figures: `Score.figures()`.
    """

    model_config = ConfigDict(frozen=True)

    uri: str
    figures: dict[str, int | float]


def score_test_split(
    checkpoint_path: Path, tokens_uri: str, out: Path, on_progress: OnProgress = silent
) -> TestScores:
    """Score a checkpoint on the test split in `tokens_uri` and write `out/scores.json`.

    Raises:
        CheckpointError: The model cannot be read.
        DatasetError: There are no shards.
        EmptySplitError: The test split is empty.
        StorageError: The result cannot be written.
    """
    loaded = checkpoint.load(checkpoint_path)
    arrays = dataset.load_split(tokens_uri, "test")
    evaluation = evaluate(loaded.model, arrays, loaded.tokenizer.unknown_id, on_progress)
    figures = evaluation.score.figures()
    documents = [round(nats, 6) for nats in evaluation.document_nll_nats.tolist()]
    write_json(out / SCORES_FILE, {**figures, "document_nll_nats": documents})
    return TestScores(uri=str(out), figures=figures)


def evaluate(
    model: LanguageModel,
    arrays: TokenArrays,
    unknown_id: int | None = None,
    on_progress: OnProgress = silent,
) -> Evaluation:
    """Score every token once; each document starts from the initial state, carried to its end.

    Args:
        model: Set to eval mode while scoring, then as before.
        arrays: What to score.
        unknown_id: Counted as unknown.
        on_progress: Told the tokens scored.

    Raises:
        EmptySplitError: There is nothing to score.

    Source: the negative log-likelihood of Mikolov et al. 2010, section 2.
    """
    if not len(arrays.tokens):
        raise EmptySplitError("nothing to score: the text holds no document")
    was_training = model.training
    model.eval()
    nll = np.zeros(len(arrays.lengths))
    done = 0
    state = None
    with torch.inference_mode():
        lanes = max(1, min(BATCH_SIZE, MOST_LOGITS // (WINDOW_TOKENS * model.vocab_size)))
        for batch in windows(arrays, "stream", lanes, WINDOW_TOKENS):
            window = batch.to(model.device)
            state = model.reset_state(state or model.initial_state(len(window.fresh)), window.fresh)
            logits, state = model(window.inputs, state)
            nats = functional.cross_entropy(
                logits.float().flatten(0, 1), window.targets.flatten(), reduction="none"
            ).view_as(window.mask)
            sums = (nats * window.mask).sum(dim=1, dtype=torch.float64).cpu().numpy()
            np.add.at(nll, batch.documents.numpy(), np.where(batch.documents >= 0, sums, 0.0))
            done += batch.tokens
            on_progress(Progress(done, len(arrays.tokens), "tokens"))
    model.train(was_training)
    score = Score(
        nll_nats=float(nll.sum()),
        tokens=len(arrays.tokens),
        characters=int(arrays.characters.sum()),
        bytes=int(arrays.bytes.sum()),
        unknown=0 if unknown_id is None else int(np.count_nonzero(arrays.tokens == unknown_id)),
    )
    return Evaluation(score, nll)
