"""The gate: decide whether a new version of a model may replace the champion, and why.

The functions are pure: they take figures and return a verdict with its reasons. A version replaces
the champion only if it passes every check.
"""

from pydantic import BaseModel, ConfigDict

from rnnlm.config import GateConfig
from rnnlm.evaluation.comparison import Comparison

JUST_AS_GOOD_BITS = 0.0005
"""Two models whose scores differ by less than this, in bits per character, count as equal."""


class Check(BaseModel):
    """One condition and its result.

    Attributes:
        passed: Whether the version meets the condition.
        said: What was found and what was expected, in a few words.
    """

    model_config = ConfigDict(frozen=True)

    passed: bool
    said: str


class Verdict(BaseModel):
    """The gate's verdict: all checks, the most important first."""

    model_config = ConfigDict(frozen=True)

    checks: tuple[Check, ...]

    @property
    def wins(self) -> bool:
        """Whether the version becomes the champion."""
        return all(check.passed for check in self.checks)

    @property
    def reason(self) -> str:
        """The reason in one line: the checks that failed, or the comparison with the champion."""
        failed = [check.said for check in self.checks if not check.passed]
        return "; ".join(failed) if failed else self.checks[0].said


class Weighed(BaseModel):
    """The figures on which the gate judges a version.

    Attributes:
        against_champion: Comparison with the champion on the same test documents; None if there is
            no champion.
        champion: The champion's version number.
        champion_bits: The champion's score on the same test documents, in bits per character (lower
            is better); None if it could not be scored.
        fresh_bits: Bits per character by which the champion predicts these documents worse than its
            own test documents; None if they are the same. Shown to the user, and used in place of
            `forgotten_bits` where that is None.
        where: Words that name the test documents in messages, such as ` on the changed corpus`.
        obstacle: Why the version cannot be compared with the champion; empty if it can.
        excuse: Why the comparison is not needed, such as a champion whose files are missing; empty
            otherwise.
        against_ngrams: Comparison with the n-gram model on the same test documents; None if the
            version is an n-gram model itself.
        valid_share: Share of the version's texts that are valid.
        copied_share: Share of the version's texts that are copies; None if there is nothing to
            compare them with.
        forgotten_bits: Bits per character by which the version predicts the champion's own test
            documents worse than the champion does; None if the corpus is the same, or if these
            documents are missing.
    """

    model_config = ConfigDict(frozen=True)

    against_champion: Comparison | None = None
    champion: int | None = None
    champion_bits: float | None = None
    fresh_bits: float | None = None
    where: str = ""
    obstacle: str = ""
    excuse: str = ""
    against_ngrams: Comparison | None = None
    valid_share: float = 1.0
    copied_share: float | None = None
    forgotten_bits: float | None = None


def judge(config: GateConfig, weighed: Weighed) -> Verdict:
    """Return the verdict on a version."""
    checks = [_champion(config, weighed)]
    if config.beat_ngrams and weighed.against_ngrams is not None:
        checks.append(_better(weighed.against_ngrams, config.level, "the n-grams", ""))
    if config.valid_share:
        share = weighed.valid_share
        said = f"{share:.1%} of its texts are valid (at least {config.valid_share:.0%})"
        checks.append(Check(passed=share >= config.valid_share, said=said))
    if weighed.copied_share is not None:
        share = weighed.copied_share
        said = f"{share:.1%} of its texts are copies (at most {config.copied_share:.0%})"
        checks.append(Check(passed=share <= config.copied_share, said=said))
    checks += _remembers(config, weighed)
    return Verdict(checks=tuple(checks))


def _remembers(config: GateConfig, weighed: Weighed) -> list[Check]:
    """Check that the version has not forgotten what the champion knew.

    If the champion's own test documents are missing, check instead how much worse the champion
    predicts the new ones.
    """
    champion = f"champion {weighed.champion}"
    bits, said = weighed.forgotten_bits, f"than {champion} on the champion's own test documents"
    if bits is None:
        bits = weighed.fresh_bits
        said = f"for {champion} on the new corpus than on its own, whose test documents are missing"
    if bits is None:
        return []
    worse = f"{abs(bits):.3f} bits {'worse' if bits > 0 else 'better'}"
    limit = f"(at most {config.forgotten_bits:g} worse)"
    return [Check(passed=bits <= config.forgotten_bits, said=f"{worse} {said} {limit}")]


def _champion(config: GateConfig, weighed: Weighed) -> Check:
    if weighed.obstacle:
        return Check(passed=False, said=weighed.obstacle)
    if weighed.excuse:
        return Check(passed=True, said=weighed.excuse)
    if weighed.against_champion is None:
        return Check(passed=True, said="no champion before it")
    champion = f"champion {weighed.champion}"
    return _better(weighed.against_champion, config.level, champion, weighed.where)


def _better(comparison: Comparison, level: float, other: str, where: str) -> Check:
    bits, sure = comparison.better_by, comparison.confidence
    if abs(bits) < JUST_AS_GOOD_BITS:
        return Check(passed=False, said=f"just as good as {other}{where}")
    if bits < 0:
        return Check(passed=False, said=f"{-bits:.3f} bits worse than {other}{where}")
    said = f"{bits:.3f} bits better than {other}{where}"
    if sure < level:
        return Check(passed=False, said=f"{said}, but only {sure:.0%} sure ({level:.0%} asked for)")
    return Check(passed=True, said=said)
