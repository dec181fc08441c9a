"""Collect the figures that the gate judges by, and describe its verdict in Markdown."""

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
"""Characters of each sample shown in a version's description."""


@dataclass(frozen=True)
class Candidate:
    """A version to be judged by the gate, with everything known about it.

    Attributes:
        experiment: Configuration that it was made with.
        corpus: Corpus that it was trained on.
        model: Its trained model, with paths and figures.
        scores: Its scores on its corpus's test split, and those of the n-grams.
        texts: Texts that it generated.
        version: The registered version, without an alias.
    """

    experiment: Experiment
    corpus: Corpus
    model: TrainedModel
    scores: TestScores
    texts: TextDataSet
    version: Version

    @property
    def nats(self) -> TextNats:
        """Its scores in nats on the test documents of its corpus."""
        return _nats(self.scores)


@dataclass(frozen=True)
class Ruling:
    """The gate's ruling on a candidate.

    Attributes:
        weighed: Figures that the verdict is based on.
        verdict: Checks with their results.
        champion: Champion at the time of the ruling; None if there was none.
    """

    weighed: Weighed
    verdict: Verdict
    champion: Version | None


def rule(home: Home, candidate: Candidate, on_progress: OnProgress) -> Ruling:
    """Compare a candidate with the current champion, and judge it.

    Both are scored on the test documents of the candidate's corpus. If the champion was trained on
    a different corpus, both are also scored on the champion's own test documents.
    """
    champion = registry.by_alias(home, candidate.version.name, CHAMPION)
    known = _by_itself(candidate)
    if champion is not None and champion.version != candidate.version.version:
        known |= {"champion": champion.version}
        known |= _beside_champion(home, champion, candidate, on_progress)
    weighed = Weighed.model_validate(known)
    return Ruling(weighed, judge(candidate.experiment.gate, weighed), champion)


def _by_itself(candidate: Candidate) -> dict[str, Any]:
    """Return the figures that do not depend on the champion."""
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
    """Return the figures of the comparison with the champion, or why there is no comparison."""
    if champion.condition != candidate.experiment.corpus.condition:
        given = ", ".join(champion.condition) or "no attributes"
        return {
            "obstacle": f"not comparable: champion {champion.version} is conditioned on {given}"
        }
    if not registry.is_whole(home, champion):
        return {"excuse": f"the files of champion {champion.version} are missing"}
    level = candidate.experiment.gate.level
    base = bases.find(home, candidate.experiment)
    mine = _Documents(candidate.corpus.uri, candidate.corpus.digest, base)
    own = _own_documents(home, champion)
    is_same = champion.corpus_digest == candidate.corpus.digest
    if own is not None and not is_same:
        mine = mine.without_trained(str(own), champion.corpus_digest)
    if mine.is_empty:
        return {
            "obstacle": f"not comparable: champion {champion.version} was trained on {mine.said}"
        }
    try:
        scores = _scores_on(home, champion, mine, on_progress)
        ours = _nats(_scores_on(home, candidate.version, mine, on_progress)) if mine.said else None
    except (RegistryError, CheckpointError) as error:  # a damaged file; transient errors are raised
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
        known["where"] += f", excluding {mine.said} that champion {champion.version} was trained on"
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
    except (CorpusError, DatasetError):  # damaged files
        return known
    return known | {
        "fresh_bits": theirs.bits_per_character - knew.bits_per_character,
        "forgotten_bits": -compare(knows, knew, level).better_by,
    }


@dataclass(frozen=True)
class _Documents:
    """Test documents on which two models are compared.

    Attributes:
        uri: Folder of the corpus.
        digest: Digest of the corpus.
        base: Base whose text is excluded; None for none.
        others: Digest of the corpus whose training text is excluded; empty for none.
        trained: For each document, whether it occurs in that training text; None if none does.
    """

    uri: str
    digest: str
    base: Base | None
    others: str = ""
    trained: NDArray[np.bool_] | None = None

    @property
    def is_empty(self) -> bool:
        """Whether no document remains because all occur in the other training text."""
        return self.trained is not None and bool(self.trained.all())

    @property
    def said(self) -> str:
        """How many documents occur in the other training text, in words; empty for none."""
        if self.trained is None:
            return ""
        return f"{np.count_nonzero(self.trained):,} of {len(self.trained):,} test documents"

    def without_trained(self, uri: str, digest: str) -> "_Documents":
        """Return the documents without those in the training split of another corpus."""
        trained = trained_on(self.uri, uri)
        return replace(self, others=digest, trained=trained) if trained.any() else self


def describe(candidate: Candidate, ruling: Ruling) -> str:
    """Return a version's description in Markdown, starting with the result."""
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
    """Return a difference in bits with its confidence interval; empty without a comparison."""
    if comparison is None:
        return ""
    if not math.isfinite(comparison.low):
        return f"{comparison.better_by:+.3f} (from a single document)"
    return f"{comparison.better_by:+.3f} ({comparison.low:+.3f} to {comparison.high:+.3f})"


def _sample(texts: TextDataSet) -> str:
    """Return some texts in a code block, so that Markdown shows them unchanged."""
    one_line = not any("\n" in text for text in texts.examples)
    count = SHOWN_SAMPLES if one_line else 1
    shown = "\n".join(text[:SHOWN_CHARACTERS] for text in texts.examples[:count])
    return f"```text\n{shown.replace('```', '` ` `')}\n```"


def _scores_on(
    home: Home, version: Version, documents: _Documents, on_progress: OnProgress
) -> TestScores:
    """Return a version's scores on test documents, computed once and then cached.

    Documents that the candidate's base has seen are excluded, as in the candidate's own score.
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
    """Return the folder of the corpus that a champion was trained on, or None if it is missing.

    Both the recorded folder and its place in this home are tried, as the home may have moved.
    """
    was = Path(champion.corpus_uri)
    here = home.data / "corpora" / champion.name / was.name
    return next((path for path in (was, here) if champion.corpus_uri and path.is_dir()), None)
