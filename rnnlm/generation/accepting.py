"""The filters that look at single texts: which of the drawn texts may be kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rnnlm.config import GenerationConfig
from rnnlm.corpora.forms import is_valid
from rnnlm.errors import GenerationError

if TYPE_CHECKING:
    from rnnlm.audit.reference import Reference

FEWEST_KEPT, FEWEST_TRIED = 0.001, 10_000
"""A job gives up if it keeps less than the share `FEWEST_KEPT` of the texts drawn last. At least
the last `FEWEST_TRIED` texts are counted, and at least half of all texts; with fewer, the decision
would depend on chance."""
MOST_DRAWN_MORE = 2
"""To replace refused texts, at most this many times as many as were drawn so far are drawn at
once."""


def accepted(
    texts: list[str], config: GenerationConfig, form: str, reference: Reference | None = None
) -> NDArray[np.bool_]:
    """Return whether each text passes the filters that look at single texts, shape (texts,).

    Required strings are checked here, and not forced while sampling: if the model were not allowed
    to end a text without the string, the text would usually just continue to the maximum length.
    With a filter, the accepted texts follow the model's own distribution, restricted to the texts
    that contain the strings.

    Args:
        texts: The texts.
        config: Settings of the job, with the filters.
        form: What a text should be; see `CorpusConfig.form`.
        reference: The training text to compare with; without it, the filters that compare with it
            are not applied.
    """
    passed = np.ones(len(texts), dtype=np.bool_)
    for string in config.required:
        passed &= [string in text for text in texts]
    if config.valid_only:
        passed &= [is_valid(form, text) for text in texts]
    if config.novel_only and reference is not None:
        passed &= ~reference.copies(texts)
    if (config.novel_only or config.no_copied_numbers) and reference is not None:
        passed &= ~reference.have_copied_numbers(texts)
    if config.known_words_only and reference is not None:
        passed &= reference.words.all_exist(texts)
    return passed


def best_of_groups(
    passed: NDArray[np.bool_], texts: list[str], log_probs: NDArray[np.float64], group: int
) -> NDArray[np.bool_]:
    """Return for each text whether it is the best accepted text of its group, shape (texts,).

    The best text has the highest log-probability per character. A group is `config.best_of` texts
    with consecutive numbers, beginning at a multiple of `best_of`. So the choice does not depend on
    the number of texts.

    Args:
        passed: Whether each text passed the other filters.
        texts: The texts, in whole groups.
        log_probs: Log-probability of each text in nats.
        group: Number of texts in a group.
    """
    if group == 1:
        return passed
    lengths = np.fromiter(map(len, texts), np.float64, len(texts))
    fluency = np.where(passed, log_probs / np.maximum(1.0, lengths), -np.inf).reshape(-1, group)
    best = np.zeros(fluency.shape, dtype=np.bool_)
    best[np.arange(len(best)), fluency.argmax(axis=1)] = True
    return passed & best.reshape(-1)


def more_to_draw(flags: NDArray[np.bool_], latest: int, wanted: int) -> int:
    """Return how many more texts to draw, to replace those that the filters refused.

    Args:
        flags: Whether each text drawn so far may be kept, shape (texts,).
        latest: Number of texts that were drawn last, at once.
        wanted: Number of texts to keep in total; more than may be kept so far.

    Raises:
        GenerationError: The filters refuse nearly all texts.
    """
    have = int(np.count_nonzero(flags))
    judged = flags[-max(latest, FEWEST_TRIED, len(flags) // 2) :]
    kept = int(np.count_nonzero(judged))
    if len(judged) >= FEWEST_TRIED and kept < FEWEST_KEPT * len(judged):
        raise GenerationError(
            f"of the last {len(judged):,} texts drawn only {kept:,} could be kept "
            f"({have:,} of {wanted:,} kept so far); raise the temperature, "
            "lower the count, drop a filter, or give the required text as a prefix"
        )
    rate = max(FEWEST_KEPT, float(flags[-max(latest, FEWEST_TRIED) :].mean()))
    return int(min((wanted - have) / rate * 1.02, MOST_DRAWN_MORE * len(flags)))
