"""Measure the texts that a model writes at three temperatures, and compare them with real text.

The figures, such as the share of existing words, show the trade-off between safe and varied texts.
They are chosen so that readers understand them without an explanation.
"""

from dataclasses import dataclass

import numpy as np

from rnnlm.audit.lengths import quantiles
from rnnlm.audit.reference import Reference
from rnnlm.audit.summary import Audit, Figures, audit_shard, conclude
from rnnlm.checkpoint import LoadedModel
from rnnlm.config import GenerationConfig, override
from rnnlm.engine import running
from rnnlm.engine.drawing import sample_texts

TEMPERATURES = (0.5, 0.7, 1.0)
FEWEST_TEXTS, MOST_TEXTS = 20, 400
MOST_CHARACTERS = 40_000
"""Approximate number of characters that are sampled at each temperature, in all texts together."""
SLOWER = 10
"""If native code cannot be used, the number of sampled characters is divided by this factor."""


@dataclass(frozen=True)
class Row:
    """The figures for one temperature, or for real text; a row of a table.

    A figure is None if it was not measured.

    Attributes:
        temperature: Temperature at which the texts were sampled; None for real text.
        existing: Share of words that exist; see `words`.
        copied: Share of texts that are copies of training text.
        near_copied: Share of texts that are near copies of training text.
        repeated: Share of texts that equal an earlier sampled text.
        distinct: For each n, the share of distinct word n-grams.
    """

    temperature: float | None
    existing: float | None
    copied: float | None
    near_copied: float | None
    repeated: float | None
    distinct: dict[int, float | None]


def measure_temperatures(
    loaded: LoadedModel, reference: Reference, config: GenerationConfig
) -> list[Row]:
    """Sample texts at each temperature and measure them; the last row is for real text.

    Args:
        loaded: The model.
        reference: Reference (index of training text) of the corpus that the model was trained on.
        config: Settings for the maximum length, top-k, top-p, min-p and the seed; constraints and
            prefixes are ignored.
    """
    how = running.choose_engine(loaded.model, running.resolve(config.precision, loaded.facts))
    characters = MOST_CHARACTERS if how.kind in ("native", "fused") else MOST_CHARACTERS // SLOWER
    typical = max(1, quantiles(reference.facts.lengths).get("50%", 1))
    count = max(FEWEST_TEXTS, min(MOST_TEXTS, characters // typical))
    rows, held_out = [], None
    for temperature in TEMPERATURES:
        plain = override(
            config,
            {
                "count": count,
                "temperature": temperature,
                "batch_size": min(64, count),
                "prefix": "",
                "given": {},
                "precision": how.precision,
            },
        )
        texts = sample_texts(loaded, plain)
        complete = np.array([text.complete for text in texts])
        drawn = [text.text for text in texts]
        record = audit_shard(drawn, complete, reference.facts.form, reference, count)
        audit: Audit = conclude(record, reference.facts.form, reference)
        repeated = 1.0 - len({*drawn}) / len(drawn)
        rows.append(_row(temperature, audit.generated, repeated))
        held_out = audit.held_out
    return rows + ([_row(None, held_out, None)] if held_out else [])


def as_figures(rows: list[Row]) -> dict[str, float]:
    """Return all figures of the rows, by name.

    The names are like `existing_words_at_0.7` and `existing_words_of_real_text`.
    """
    figures: dict[str, float] = {}
    for row in rows:
        of = "of_real_text" if row.temperature is None else f"at_{row.temperature:g}"
        named = {
            "existing_words": row.existing,
            "copied": row.copied,
            "nearly_copied": row.near_copied,
            "repeated": row.repeated,
            **{f"distinct_{n}grams": share for n, share in row.distinct.items()},
        }
        figures |= {f"{name}_{of}": share for name, share in named.items() if share is not None}
    return figures


def _row(temperature: float | None, figures: Figures, repeated: float | None) -> Row:
    return Row(
        temperature=temperature,
        existing=figures.existing_word_share,
        copied=figures.copied_share if temperature is not None else None,
        near_copied=figures.near_copied_share if temperature is not None else None,
        repeated=repeated,
        distinct=dict(figures.distinct_ngram_share),
    )
