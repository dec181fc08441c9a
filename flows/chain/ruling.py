"""What the gate weighs, gathered; and what it said, written down for people."""

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flows import registry
from flows.chain import records
from flows.chain.records import Step
from flows.registry import CHAMPION, Version, bases
from flows.registry.bases import Base
from flows.registry.versions import shorten_error
from flows.runtime.home import Home
from rnnlm.config import Experiment
from rnnlm.corpora.ingestion import Corpus
from rnnlm.errors import CheckpointError, CorpusError, DatasetError, RegistryError
from rnnlm.evaluation import (
    NATS_FILE,
    NGRAM_NATS_FILE,
    Comparison,
    TestScores,
    TextNats,
    compare,
    score_corpus,
    trained_on,
)
from rnnlm.gate import Verdict, Weighed, judge
from rnnlm.generation.manifest import TextDataSet
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

    @property
    def nats(self) -> TextNats:
        """What it scores on its corpus's test documents."""
        return _nats(self.scores)


@dataclass(frozen=True)
class Ruling:
    """What the gate said of a candidate.

    Attributes:
        weighed: What it was said for.
        verdict: The checks.
        champion: The version it was compared with; None for none.
    """

    weighed: Weighed
    verdict: Verdict
    champion: Version | None


def rule(home: Home, candidate: Candidate, on_progress: OnProgress) -> Ruling:
    """Compare a candidate with the champion of this moment, and judge it.

    Both are scored on the test documents of the candidate's corpus. Where that is not the
    champion's corpus, the candidate is also scored on the champion's own test documents.
    """
    champion = registry.by_alias(home, candidate.version.name, CHAMPION)
    known = _by_itself(candidate)
    if champion is not None and champion.version != candidate.version.version:
        known |= {"champion": champion.version}
        known |= _beside_champion(home, champion, candidate, on_progress)
    weighed = Weighed.model_validate(known)
    return Ruling(weighed, judge(candidate.experiment.gate, weighed), champion)


def _by_itself(candidate: Candidate) -> dict[str, Any]:
    """Return what is weighed without the champion."""
    known: dict[str, Any] = {
        "valid_share": candidate.texts.valid_share,
        "copied_share": candidate.texts.copied_share,
    }
    if candidate.experiment.model.architecture != "ngram":
        beside = TextNats.load(Path(candidate.scores.uri) / NGRAM_NATS_FILE)
        level = candidate.experiment.gate.level
        known["against_ngrams"] = compare(candidate.nats, beside, level)
    return known


def _beside_champion(
    home: Home, champion: Version, candidate: Candidate, on_progress: OnProgress
) -> dict[str, Any]:
    """Return what is weighed against the champion, or why nothing is."""
    if champion.condition != candidate.experiment.corpus.condition:
        given = ", ".join(champion.condition) or "nothing"
        return {"obstacle": f"not comparable: champion {champion.version} is told {given}"}
    if not registry.is_whole(home, champion):
        return {"excuse": f"the files of champion {champion.version} are gone"}
    level = candidate.experiment.gate.level
    base = bases.find(home, candidate.experiment)
    mine = _Documents(candidate.corpus.uri, candidate.corpus.digest, base)
    own = _own_documents(home, champion)
    is_same = champion.corpus_digest == candidate.corpus.digest
    if own is not None and not is_same:
        mine = mine.without_trained(str(own), champion.corpus_digest)
    if mine.is_empty:
        return {"obstacle": f"not comparable: champion {champion.version} has read {mine.said}"}
    try:
        scores = _scores_on(home, champion, mine, on_progress)
        ours = _nats(_scores_on(home, candidate.version, mine, on_progress)) if mine.said else None
    except (RegistryError, CheckpointError) as error:  # torn; what may pass is raised
        why = shorten_error(error)
        return {"excuse": f"champion {champion.version} cannot be scored: {why}"}
    theirs = _nats(scores)
    known: dict[str, Any] = {
        "champion_bits": scores.figures["bits_per_character"],
        "against_champion": compare(ours or candidate.nats, theirs, level),
    }
    if is_same:
        return known
    known["where"] = " on the changed corpus"
    if mine.said:
        known["where"] += f", without {mine.said} that champion {champion.version} has read"
    known["fresh_bits"] = theirs.bits_per_character - champion.test_bits_per_character
    if own is None:
        return known
    try:
        before = _Documents(str(own), champion.corpus_digest, base)
        before = before.without_trained(candidate.corpus.uri, candidate.corpus.digest)
        if before.is_empty:
            return known
        knew = _nats(_scores_on(home, champion, before, on_progress))
        knows = _nats(_scores_on(home, candidate.version, before, on_progress))
    except (CorpusError, DatasetError):  # they are torn
        return known
    return known | {
        "fresh_bits": theirs.bits_per_character - knew.bits_per_character,
        "forgotten_bits": -compare(knows, knew, level).better_by,
    }


@dataclass(frozen=True)
class _Documents:
    """Test documents that two models are compared on.

    Attributes:
        uri: Folder of the corpus.
        digest: Of the corpus.
        base: Whose text is left out.
        others: Digest of the corpus whose training text is left out; empty for none.
        trained: True for each of the documents that stands in it; None for none.
    """

    uri: str
    digest: str
    base: Base | None
    others: str = ""
    trained: NDArray[np.bool_] | None = None

    @property
    def is_empty(self) -> bool:
        """Whether all were trained on."""
        return self.trained is not None and bool(self.trained.all())

    @property
    def said(self) -> str:
        """Say how many were trained on; empty for none."""
        if self.trained is None:
            return ""
        return f"{np.count_nonzero(self.trained):,} of {len(self.trained):,} test documents"

    def without_trained(self, uri: str, digest: str) -> "_Documents":
        """Return these without those that the other model was trained on."""
        trained = trained_on(self.uri, uri)
        return replace(self, others=digest, trained=trained) if trained.any() else self


def describe(candidate: Candidate, ruling: Ruling) -> str:
    """Return a version's description, in Markdown: the result first."""
    figures, verdict, weighed = candidate.scores.figures, ruling.verdict, ruling.weighed
    place = "champion" if verdict.wins else "challenger"
    low, high = figures["bits_per_character_low"], figures["bits_per_character_high"]
    own = f"**{figures['bits_per_character']:.3f}** ({low:.3f} to {high:.3f})"
    rows = [f"| **this version** | {own} | |"]
    if ruling.champion is not None:
        bits = "–" if weighed.champion_bits is None else f"{weighed.champion_bits:.3f}"
        better = _interval(weighed.against_champion)
        rows.append(f"| champion {ruling.champion.version} | {bits} | {better} |")
    ngram_bits = figures["ngram_bits_per_character"]
    rows.append(f"| n-grams | {ngram_bits:.3f} | {_interval(weighed.against_ngrams)} |")
    checks = [f"- {'✓' if check.passed else '✗'} {check.said}" for check in verdict.checks]
    documents = candidate.corpus.documents
    parts = [
        f"{place}: {verdict.reason}",
        "\n".join(
            ["| model | bits per character | this version is better by |", "|---|---|---|", *rows]
        )
        + f"\n\non the same {documents['test']:,} test documents",
        "Gate:\n" + "\n".join(checks),
        f"Corpus `{candidate.corpus.digest[:12]}`, {sum(documents.values()):,} documents.",
        "Sample:\n\n" + _sample(candidate.texts),
    ]
    return "\n\n".join(parts)


def _interval(comparison: Comparison | None) -> str:
    """Return a difference with its interval."""
    if comparison is None:
        return ""
    if not math.isfinite(comparison.low):
        return f"{comparison.better_by:+.3f} (of a single document)"
    return f"{comparison.better_by:+.3f} ({comparison.low:+.3f} to {comparison.high:+.3f})"


def _sample(texts: TextDataSet) -> str:
    """Return some texts as a code block, which shows them as they are."""
    one_line = not any("\n" in text for text in texts.examples)
    count = SHOWN_SAMPLES if one_line else 1
    shown = "\n".join(text[:SHOWN_CHARACTERS] for text in texts.examples[:count])
    return f"```text\n{shown.replace('```', '` ` `')}\n```"


def _scores_on(
    home: Home, version: Version, documents: _Documents, on_progress: OnProgress
) -> TestScores:
    """Return what a version scores on test documents; scored once, then kept.

    Documents that the candidate's base has read are left out, as they are from its own score.
    """
    base = documents.base
    ingredients = {
        "checkpoint": version.checkpoint,
        "corpus": documents.digest,
        "base": base.digest if base else None,
    }
    if documents.others:
        ingredients["without"] = documents.others
    step = Step(
        name="compare",
        version=4,
        ingredients=ingredients,
        result_type=TestScores,
        siblings=home.data / "scores" / version.name,
    )

    with records.attempt(step) as attempt:
        if not attempt.is_recalled:
            path, known = registry.checkpoint_path(home, version), base.windows if base else None
            attempt.result = score_corpus(
                path, documents.uri, attempt.folder, on_progress, known, documents.trained
            )
    return attempt.result


def _nats(scores: TestScores) -> TextNats:
    return TextNats.load(Path(scores.uri) / NATS_FILE)


def _own_documents(home: Home, champion: Version) -> Path | None:
    """Return the folder of the corpus that a champion was trained on, or None where it is gone.

    It is looked for where it was, and at its place under this home, which may have moved.
    """
    was = Path(champion.corpus_uri)
    here = home.data / "corpora" / champion.name / was.name
    return next((path for path in (was, here) if champion.corpus_uri and path.is_dir()), None)
