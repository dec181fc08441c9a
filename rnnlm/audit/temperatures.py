"""What a model writes at three temperatures, measured beside real text: the trade between safe and
varied, in figures that need no explanation.
"""

from dataclasses import dataclass

import numpy as np

from rnnlm import engine
from rnnlm.audit.lengths import quantiles
from rnnlm.audit.reference import Reference
from rnnlm.audit.summary import Audit, Figures, audit_shard, conclude
from rnnlm.checkpoint import LoadedModel
from rnnlm.config import GenerationConfig, override
from rnnlm.engine.texts import sample_texts

TEMPERATURES = (0.5, 0.7, 1.0)
FEWEST_TEXTS, MOST_TEXTS = 20, 400
MOST_CHARACTERS = 40_000
"""Drawn at each temperature, about."""
SLOWER = 10
"""Times fewer where native code cannot draw them."""


@dataclass(frozen=True)
class Row:
    """A row of the table.

    Attributes:
        temperature: None for real text.
        existing: Share of words that exist.
        copied: Share of texts that stand in the training text.
        near_copied: Share that nearly do.
        repeated: Share that stand among the drawn ones before.
        distinct: By n, the share of distinct n-grams of words.
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
    """Draw texts at each temperature and measure them; the last row is of real text.

    Args:
        loaded: The model.
        reference: Of the corpus that it was trained on.
        config: The longest text, cuts and seed; rules and prefixes are left out.
    """
    how = engine.choose_engine(loaded.model, engine.resolve(config.precision, loaded.facts))
    characters = MOST_CHARACTERS if how.kind == "native" else MOST_CHARACTERS // SLOWER
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
    """Return the rows as figures, each named by what it is and of which text.

    Such as `existing_words_at_0.7` and `existing_words_of_real_text`.
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
