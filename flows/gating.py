"""What the gate weighs, gathered; and what it said, written down for people."""

from dataclasses import dataclass
from pathlib import Path

from flows import registry, steps
from flows.home import Home
from flows.registry import CHAMPION, Version
from flows.registry.versions import shorten_error
from flows.steps import perform
from rnnlm.config import Experiment
from rnnlm.corpora.ingestion import Corpus
from rnnlm.errors import RnnlmError
from rnnlm.evaluation import (
    NATS_FILE,
    NGRAM_NATS_FILE,
    TestScores,
    TextNats,
    compare,
    score_corpus,
)
from rnnlm.gate import Verdict, Weighed, judge
from rnnlm.generation.data_set import TextDataSet
from rnnlm.progress import OnProgress
from rnnlm.training.api import TrainedModel

SHOWN_SAMPLES = 5
SHOWN_CHARACTERS = 400
"""Of a sample, in a version's description."""


@dataclass(frozen=True)
class Candidate:
    """A version that comes to the gate, with all that is known of it.

    Attributes:
        experiment: How it was made.
        corpus: What it was trained on.
        model: Its files.
        scores: On its corpus's test split, the n-grams' beside it.
        texts: What it writes.
        version: As registered, without an alias.
    """

    experiment: Experiment
    corpus: Corpus
    model: TrainedModel
    scores: TestScores
    texts: TextDataSet
    version: Version


@dataclass(frozen=True)
class Ruling:
    """What the gate said of a candidate.

    Attributes:
        verdict: The checks.
        champion: The version it was compared with; None for none.
        champion_bits: That one's bits per character on the candidate's test documents; None where
            it could not be scored.
        fresh_bits: By how much the champion predicts them worse than its own test documents; None
            where they are the same.
    """

    verdict: Verdict
    champion: Version | None
    champion_bits: float | None = None
    fresh_bits: float | None = None


def rule(home: Home, candidate: Candidate, on_progress: OnProgress) -> Ruling:
    """Compare a candidate with the champion of this moment, and judge it.

    Both are scored on the test documents of the candidate's corpus. Where that is not the
    champion's corpus, the candidate is also scored on the champion's own test documents.
    """
    level = candidate.experiment.gate.level
    nats = TextNats.load(Path(candidate.scores.uri) / NATS_FILE)
    weighed = Weighed(
        valid_share=candidate.texts.valid_share, copied_share=candidate.texts.copied_share
    )
    if candidate.experiment.model.architecture != "ngram":
        beside = TextNats.load(Path(candidate.scores.uri) / NGRAM_NATS_FILE)
        weighed = weighed.model_copy(update={"against_ngrams": compare(nats, beside, level)})
    champion = registry.by_alias(home, candidate.version.name, CHAMPION)
    ruling = Ruling(judge(candidate.experiment.gate, weighed), champion)
    if champion is None or champion.version == candidate.version.version:
        return ruling
    weighed = weighed.model_copy(update={"champion": champion.version})
    if champion.condition != candidate.experiment.corpus.condition:
        told = ", ".join(champion.condition) or "nothing"
        obstacle = f"not comparable: champion {champion.version} is told {told}"
        weighed = weighed.model_copy(update={"obstacle": obstacle})
        return Ruling(judge(candidate.experiment.gate, weighed), champion)
    try:
        theirs = _nats_on(
            home, champion, candidate.corpus.uri, candidate.corpus.digest, on_progress
        )
    except RnnlmError as error:
        excuse = f"champion {champion.version} cannot be scored: {shorten_error(error)}"
        weighed = weighed.model_copy(update={"excuse": excuse})
        return Ruling(judge(candidate.experiment.gate, weighed), champion)
    is_changed = champion.corpus_digest != candidate.corpus.digest
    weighed = weighed.model_copy(
        update={
            "against_champion": compare(nats, theirs, level),
            "where": " on the changed corpus" if is_changed else "",
            "forgotten_bits": _forgotten(home, champion, candidate, on_progress),
        }
    )
    bits = theirs.bits_per_character
    fresh = bits - champion.test_bits_per_character if is_changed else None
    return Ruling(judge(candidate.experiment.gate, weighed), champion, bits, fresh)


def describe(candidate: Candidate, ruling: Ruling) -> str:
    """Return a version's description, in Markdown: the result first."""
    figures, verdict = candidate.scores.figures, ruling.verdict
    place = "champion" if verdict.wins else "challenger"
    low, high = figures["bits_per_character_low"], figures["bits_per_character_high"]
    rows = [
        f"| **this version** | **{figures['bits_per_character']:.3f}** | {low:.3f}–{high:.3f} |"
    ]
    if ruling.champion is not None:
        bits = "–" if ruling.champion_bits is None else f"{ruling.champion_bits:.3f}"
        rows.append(f"| champion {ruling.champion.version} | {bits} | |")
    rows.append(f"| n-grams | {figures['ngram_bits_per_character']:.3f} | |")
    checks = [f"- {'✓' if check.passed else '✗'} {check.said}" for check in verdict.checks]
    documents = candidate.corpus.documents
    parts = [
        f"{place}: {verdict.reason}",
        "\n".join(["| model | bits per character | 95% interval |", "|---|---|---|", *rows])
        + f"\n\non the same {documents['test']:,} test documents",
        "Gate:\n" + "\n".join(checks),
        f"Corpus `{candidate.corpus.digest[:12]}`, {sum(documents.values()):,} documents.",
        "Sample:\n\n" + _sample(candidate.texts),
    ]
    return "\n\n".join(parts)


def _sample(texts: TextDataSet) -> str:
    """Return some texts as a code block, which shows them as they are."""
    one_line = not any("\n" in text for text in texts.examples)
    count = SHOWN_SAMPLES if one_line else 1
    shown = "\n".join(text[:SHOWN_CHARACTERS] for text in texts.examples[:count])
    return f"```text\n{shown.replace('```', '` ` `')}\n```"


def _nats_on(
    home: Home, version: Version, corpus_uri: str, digest: str, on_progress: OnProgress
) -> TextNats:
    """Return what a version scores on a corpus's test documents; scored once, then kept."""
    step = steps.compare(home, version.name, version.checkpoint, digest)

    def work(out: Path, tell: OnProgress) -> TestScores:
        return score_corpus(registry.checkpoint_path(home, version), corpus_uri, out, tell)

    scores, _ = perform(step, work, on_progress)
    return TextNats.load(Path(scores.uri) / NATS_FILE)


def _forgotten(
    home: Home, champion: Version, candidate: Candidate, on_progress: OnProgress
) -> float | None:
    """Return how much worse the candidate predicts the champion's own test documents."""
    is_same = champion.corpus_digest == candidate.corpus.digest
    if is_same or not Path(champion.corpus_uri).is_dir():
        return None
    try:
        old = champion.corpus_uri, champion.corpus_digest
        nats = _nats_on(home, candidate.version, *old, on_progress)
    except RnnlmError:  # that corpus is gone or lacks what the candidate is told
        return None
    return nats.bits_per_character - champion.test_bits_per_character
