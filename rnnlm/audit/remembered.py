"""The section of a data set card on what the texts repeat of the training text, in Markdown."""

from collections.abc import Sequence

from rnnlm.audit.disclosure import Disclosure
from rnnlm.audit.identifiers import LONG
from rnnlm.audit.markdown import table
from rnnlm.canaries import EXPLAINED, ExposureRow
from rnnlm.overlap import SAMPLED, WORDS


def remembered(disclosed: Disclosure, canaries: Sequence[ExposureRow], has_base: bool) -> str:
    """Return the section.

    Args:
        disclosed: What the texts disclose of the training text.
        canaries: What the model remembers of its canaries; empty without any.
        has_base: Whether the model was trained from a base.
    """
    parts = [
        "## What the texts repeat of the training text",
        f"Numbers of {LONG} or more digits from the training text occur in these texts "
        f"{_times(disclosed.copied_numbers)}, its e-mail addresses "
        f"{_times(disclosed.copied_addresses)}, and its rare names "
        f"{_times(disclosed.copied_names)}. The audit above defines these terms; all texts were "
        "searched.",
        _listed(disclosed),
        _canaries(disclosed, canaries),
        _base(disclosed) if has_base else "",
    ]
    return "\n\n".join(part for part in parts if part)


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count:,} times"


def _listed(disclosed: Disclosure) -> str:
    if not disclosed.listed:
        return ""
    rows = [
        (f"`{entry.shown}`", f"{entry.trained:,}", f"{entry.times:,}") for entry in disclosed.listed
    ]
    shown = table(("the most frequent, masked", "in the training text", "in these texts"), rows)
    return f"{shown}\n\n`--no-copied-numbers` leaves out texts with such numbers and addresses."


def _canaries(disclosed: Disclosure, canaries: Sequence[ExposureRow]) -> str:
    if not disclosed.canaries:
        return ""
    measured = {row.repeats: row for row in canaries}
    rows = []
    for repeats, times in disclosed.canaries.items():
        row = measured.get(repeats)
        exposure = f"{row.exposure_bits:.1f} of {row.most_bits:.1f} bits" if row else ""
        extracted = f"{row.extracted} of {row.canaries}" if row else ""
        rows.append((f"{repeats}×", exposure, extracted, f"{times:,}"))
    header = ("planted", "mean exposure", "extracted", "times in these texts")
    return f"{EXPLAINED} *(Carlini et al. 2019)*\n\n{table(header, rows)}"


def _base(disclosed: Disclosure) -> str:
    known, total = disclosed.near_base
    return (
        f"Of the text that the base model was trained on, only hashes of one in {SAMPLED} runs of "
        f"{WORDS} words are known. Of the {total:,} numbers and addresses in the sample, {known:,} "
        "are within such a run. This finds about a third of the numbers and addresses that are "
        "repeated together with the words around them. Those repeated in other surroundings, and "
        "names, cannot be recognised."
    )
