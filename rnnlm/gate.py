"""The gate: whether a version may take the champion's place, and why.

Pure: figures go in, a verdict with its reasons comes out. Every check must pass.
"""

from pydantic import BaseModel, ConfigDict

from rnnlm.config import GateConfig
from rnnlm.evaluation import Comparison

JUST_AS_GOOD_BITS = 0.0005
"""Per character; a smaller difference is none."""


class Check(BaseModel):
    """One question and its answer.

    Attributes:
        passed: Whether the version may go on.
        said: What was found, in a few words, beside what was expected.
    """

    model_config = ConfigDict(frozen=True)

    passed: bool
    said: str


class Verdict(BaseModel):
    """What the gate says: all checks, in the order of their weight."""

    model_config = ConfigDict(frozen=True)

    checks: tuple[Check, ...]

    @property
    def wins(self) -> bool:
        """Whether the version becomes the champion."""
        return all(check.passed for check in self.checks)

    @property
    def reason(self) -> str:
        """Say in one line why: what failed; where nothing did, what it was compared with."""
        failed = [check.said for check in self.checks if not check.passed]
        return "; ".join(failed) if failed else self.checks[0].said


class Weighed(BaseModel):
    """What is known of a version when it comes to the gate.

    Attributes:
        against_champion: On the same test documents; None where there is no champion.
        champion: Its version number.
        champion_bits: What it needs on the same test documents, per character; None where it could
            not be scored.
        fresh_bits: By how many bits per character the champion predicts them worse than its own
            test documents; None where they are the same. For people, and in place of
            `forgotten_bits` where that is not to be had.
        where: Words that say which documents those are, such as ` on the changed corpus`.
        obstacle: Why it cannot be compared with the champion; empty where it can.
        excuse: Why it need not be, such as a champion whose files are gone; empty otherwise.
        against_ngrams: On the same test documents; None for n-grams themselves.
        valid_share: Of its texts.
        copied_share: Of its texts; None where there is nothing to compare with.
        forgotten_bits: Bits per character above the champion's on the champion's own test
            documents; None where the corpus is the same, or where those are gone.
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
    """Ask for what the champion knew, or ask the champion where its own documents are gone."""
    champion = f"champion {weighed.champion}"
    bits, said = weighed.forgotten_bits, f"than {champion} on the champion's own test documents"
    if bits is None:
        bits = weighed.fresh_bits
        said = (
            f"than its own, whose test documents are gone, does {champion} predict the new corpus"
        )
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
