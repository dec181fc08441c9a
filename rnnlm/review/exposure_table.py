"""A table of what a model remembers of the canaries in its training text."""

from collections.abc import Sequence

from rnnlm.canaries import EXPLAINED, ExposureRow

HEADER = ("planted", "canaries", "mean exposure", "extracted")


def exposure_table(rows: Sequence[ExposureRow]) -> str:
    """Return the section of the report page with the table, as HTML; empty without canaries."""
    if not rows:
        return ""
    head = "".join(f"<th>{name}</th>" for name in HEADER)
    body = "\n".join(
        "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells(row)) + "</tr>" for row in rows
    )
    return (
        f"<h2>What it remembers</h2><p>{EXPLAINED} (Carlini et al. 2019)</p>"
        f'<table class="figures"><tr>{head}</tr>\n{body}</table>'
    )


def cells(row: ExposureRow) -> tuple[str, str, str, str]:
    """Return the cells of a row, in the order of `HEADER`."""
    return (
        f"{row.repeats}×",
        f"{row.canaries:,}",
        f"{row.exposure_bits:.1f} of {row.most_bits:.1f} bits",
        f"{row.extracted:,}",
    )


def exposure_in_one_line(rows: Sequence[ExposureRow]) -> str:
    """Return a one-line note with the exposure of canaries; empty without canaries."""
    if not rows:
        return ""
    said = ", ".join(
        f"{row.exposure_bits:.1f} bits if planted {row.repeats}× ({row.extracted} of "
        f"{row.canaries} extracted)"
        for row in rows
    )
    return f"Exposure of canaries, of {rows[0].most_bits:.1f} bits: {said}."
