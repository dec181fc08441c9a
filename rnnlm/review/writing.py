"""A table of figures about the texts that a model writes at several temperatures, and real text."""

from collections.abc import Mapping

MEASURES = {
    "existing_words": "words that exist",
    "copied": "copies of training texts",
    "nearly_copied": "near copies",
    "repeated": "repeated texts",
    "distinct_1grams": "distinct words",
    "distinct_2grams": "distinct pairs of words",
    "distinct_3grams": "distinct triples of words",
}
"""The label of each figure, by the figure's name; see `rnnlm.audit.temperatures.as_figures`."""
_AT, _REAL = "_at_", "_of_real_text"


def temperatures_in(figures: Mapping[str, float]) -> list[float]:
    """Return the temperatures at which the figures were measured, in ascending order."""
    prefix = f"existing_words{_AT}"
    return sorted(float(name.removeprefix(prefix)) for name in figures if name.startswith(prefix))


def writing_table(figures: Mapping[str, float]) -> str:
    """Return the section of the report page with the table, as HTML; empty without figures."""
    temperatures = temperatures_in(figures)
    if not temperatures:
        return ""
    head = "".join(f"<th>temperature {temperature:g}</th>" for temperature in temperatures)
    rows = []
    for name, shown in MEASURES.items():
        keys = [*(f"{name}{_AT}{t:g}" for t in temperatures), f"{name}{_REAL}"]
        if any(key in figures for key in keys):
            cells = "".join(f"<td>{_percent(figures.get(key))}</td>" for key in keys)
            rows.append(f"<tr><th>{shown}</th>{cells}</tr>")
    return (
        "<h2>What it writes</h2><p>At a lower temperature texts are safer, at a higher one more "
        "varied. Real text is from the validation split. A word exists if it occurs in the "
        "training text or in a dictionary of its language.</p>"
        f'<table class="figures"><tr><th></th>{head}<th>real text</th></tr>\n'
        + "\n".join(rows)
        + "</table>"
    )


def in_one_line(figures: Mapping[str, float]) -> str:
    """Return a one-line note with the share of existing words at each temperature.

    It is empty if nothing was measured.
    """
    temperatures = temperatures_in(figures)
    if not temperatures:
        return ""
    found = ", ".join(
        f"{_percent(figures[f'existing_words{_AT}{t:g}'])} at {t:g}" for t in temperatures
    )
    real = figures.get(f"existing_words{_REAL}")
    return f"Words that exist: {found}" + (f"; real text {_percent(real)}." if real else ".")


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.1%}"
