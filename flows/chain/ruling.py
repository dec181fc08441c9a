"""Collect the figures on which the gate judges a version, and describe its verdict in Markdown.

The figures come from test documents, which the version and the champion both predict. A text's
*nats* are the negative natural logarithm of its probability under a model: fewer are better.
"""

import logging
import math
import textwrap
from collections.abc import Mapping
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
from flows.tracking import Changes
from rnnlm.config import Experiment
from rnnlm.corpora.documents import iter_texts
from rnnlm.corpora.ingestion import Corpus
from rnnlm.errors import CheckpointError, CorpusError, DatasetError, RegistryError
from rnnlm.evaluation.comparison import Comparison, TextNats, compare
from rnnlm.evaluation.contamination import trained_on
from rnnlm.evaluation.results import NATS_FILE, NGRAM_NATS_FILE, TestScores
from rnnlm.gate import Verdict, Weighed, judge
from rnnlm.generation.manifest import TextDataSet
from rnnlm.progress import OnProgress
from rnnlm.review.exposure_table import exposure_in_one_line
from rnnlm.training.trained import TrainedModel

ROUNDING = 0.0005
"""Scores are shown with three decimals; a smaller difference does not show."""
SHOWN_SAMPLES = 5
SHOWN_CHARACTERS = 400
"""Characters of each sample shown in a version's description."""
SHOWN_WIDTH = 100
"""Most characters of a line there: MLflow's page does not wrap lines."""


@dataclass(frozen=True)
class Candidate:
    """A version to be judged by the gate, with everything known about it.

    Attributes:
        experiment: Configuration that it was trained with.
        corpus: Corpus that it was trained on.
        model: Its trained model, with paths and figures.
        scores: Its scores and those of the n-gram models on the test split of its corpus.
        texts: Data set of texts that it generated.
        version: The registered version, which has no alias yet.
    """

    experiment: Experiment
    corpus: Corpus
    model: TrainedModel
    scores: TestScores
    texts: TextDataSet
    version: Version

    @property
    def nats(self) -> TextNats:
        """Nats of each test document of its corpus under this version."""
        return _nats(self.scores)


@dataclass(frozen=True)
class Ruling:
    """The gate's ruling on a candidate.

    Attributes:
        weighed: Figures that the verdict is based on.
        verdict: The checks that the candidate had to pass, each with its result.
        champion: Champion at the time of the ruling; None if there was none.
    """

    weighed: Weighed
    verdict: Verdict
    champion: Version | None


def rule(home: Home, candidate: Candidate, on_progress: OnProgress) -> Ruling:
    """Compare a candidate with the current champion, and judge it.

    Both are scored on the test documents of the candidate's corpus. If the champion was trained on
    a different corpus, both are also scored on the test documents of that corpus.
    """
    champion = registry.by_alias(home, candidate.version.name, CHAMPION)
    known = _by_itself(candidate)
    if champion is not None and champion.version != candidate.version.version:
        known |= {"champion": champion.version}
        known |= _beside_champion(home, champion, candidate, on_progress)
    weighed = Weighed.model_validate(known)
    return Ruling(weighed, judge(candidate.experiment.gate, weighed), champion)


def _by_itself(candidate: Candidate) -> dict[str, Any]:
    """Return the figures that do not depend on the champion, by attribute of `Weighed`."""
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
    """Return the figures of the comparison with the champion, by attribute of `Weighed`.

    If there is no comparison, return the reason instead: as an `obstacle` if it keeps the candidate
    from becoming champion, or as an `excuse` if it does not.
    """
    if champion.condition != candidate.experiment.corpus.condition:
        given = ", ".join(champion.condition) or "no attributes"
        return {
            "obstacle": f"not comparable: champion {champion.version} is conditioned on {given}"
        }
    try:
        registry.checkpoint_path(home, champion)
    except RegistryError:
        return {"excuse": f"the files of champion {champion.version} are missing or damaged"}
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
    except (RegistryError, CheckpointError) as error:  # a damaged file; transient errors propagate
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

    Documents that one of the models was trained on are excluded.

    Attributes:
        uri: Folder of the corpus with the test documents.
        digest: Digest of that corpus.
        base: Base of the candidate; test documents that the base was trained on are excluded. None
            if there is no base.
        others: Digest of another corpus; test documents that occur in its training split are
            excluded. Empty if there is none.
        trained: For each test document, whether it occurs in the training split of that other
            corpus, shape (test documents,); None if none does.
    """

    uri: str
    digest: str
    base: Base | None
    others: str = ""
    trained: NDArray[np.bool_] | None = None

    @property
    def is_empty(self) -> bool:
        """Whether all documents are excluded because they occur in the other training split."""
        return self.trained is not None and bool(self.trained.all())

    @property
    def said(self) -> str:
        """Words that state how many documents occur in the other training split; empty for none."""
        if self.trained is None:
            return ""
        return f"{np.count_nonzero(self.trained):,} of {len(self.trained):,} test documents"

    def without_trained(self, uri: str, digest: str) -> "_Documents":
        """Return these documents, excluding those in the training split of another corpus.

        Args:
            uri: Folder of the other corpus.
            digest: Digest of the other corpus.
        """
        trained = trained_on(iter_texts(self.uri, "test"), uri)
        return replace(self, others=digest, trained=trained) if trained.any() else self


def describe(candidate: Candidate, ruling: Ruling, changes: Changes | None = None) -> str:
    """Return a version's description in Markdown, shown by MLflow.

    It states what the gate decided and why, with a table of scores and the gate's checks, then what
    differs from the champion that the version was compared with, and sample texts. It says nothing
    of the version's present alias, which `flows.registry.pages` adds.

    Args:
        candidate: The version.
        ruling: The gate's ruling on it.
        changes: What differs from the champion; None if there was no champion.
    """
    figures, verdict, weighed = candidate.scores.figures, ruling.verdict, ruling.weighed
    place = "champion" if verdict.wins else "challenger"
    low, high = figures["bits_per_character_low"], figures["bits_per_character_high"]
    own = f"**{figures['bits_per_character']:.3f}** ({low:.3f} to {high:.3f})"
    rows = [f"| **this version** | {own} | |"]
    if ruling.champion is not None:
        bits = "–" if weighed.champion_bits is None else f"{weighed.champion_bits:.3f}"
        better = _interval(weighed.against_champion)
        rows.append(f"| version {ruling.champion.version}, then champion | {bits} | {better} |")
    ngram_bits = figures["ngram_bits_per_character"]
    rows.append(f"| n-grams | {ngram_bits:.3f} | {_interval(weighed.against_ngrams)} |")
    checks = [f"- {'✓' if check.passed else '✗'} {check.said}" for check in verdict.checks]
    documents = candidate.corpus.documents
    parts = [
        f"The gate made it **{place}**: {verdict.reason}.",
        "\n".join(
            ["| model | bits per character | this version is better by |", "|---|---|---|", *rows]
        )
        + f"\n\non the same {documents['test']:,} test documents{_spelling(weighed, figures)}",
        "Gate:\n" + "\n".join(checks),
        changes.in_markdown() if changes else "",
        f"Corpus `{candidate.corpus.digest[:12]}`, {sum(documents.values()):,} documents.",
        exposure_in_one_line(candidate.version.canaries),
        "Sample:\n\n" + _sample(candidate.texts),
    ]
    return "\n\n".join(part for part in parts if part)


def _spelling(weighed: Weighed, figures: Mapping[str, float]) -> str:
    """Return a note if the comparison with the n-grams differs from the difference of the scores.

    That is so if there are unknown tokens: only the comparison counts how they are spelled.
    """
    comparison = weighed.against_ngrams
    if comparison is None:
        return ""
    apart = figures["ngram_bits_per_character"] - figures["bits_per_character"]
    if abs(apart - comparison.better_by) <= ROUNDING:
        return ""
    return "; *better by* also counts the spelling of unknown tokens"


def _interval(comparison: Comparison | None) -> str:
    """Return by how many bits per character one model is better, with the confidence interval.

    Return an empty string if there is no comparison.
    """
    if comparison is None:
        return ""
    if not math.isfinite(comparison.low):
        return f"{comparison.better_by:+.3f} (from a single document)"
    return f"{comparison.better_by:+.3f} ({comparison.low:+.3f} to {comparison.high:+.3f})"


def _sample(texts: TextDataSet) -> str:
    """Return some of the texts in a code block, so that Markdown shows them unchanged but wrapped.

    If any text has several lines, only the first text is shown.
    """
    one_line = not any("\n" in text for text in texts.examples)
    count = SHOWN_SAMPLES if one_line else 1
    shown = "\n".join(text[:SHOWN_CHARACTERS] for text in texts.examples[:count])
    wrapped = "\n".join(part for line in shown.split("\n") for part in _wrapped(line))
    return f"```text\n{wrapped.replace('```', '` ` `')}\n```"


def _wrapped(line: str) -> list[str]:
    return textwrap.wrap(line, SHOWN_WIDTH, expand_tabs=False, replace_whitespace=False) or [""]


def _scores_on(
    home: Home, version: Version, documents: _Documents, on_progress: OnProgress
) -> TestScores:
    """Return a version's scores on test documents, computed once and then cached as a step.

    Documents that the candidate's base was trained on are excluded, as in the candidate's own
    score on its test split.
    """
    from rnnlm.evaluation.held_out import score_corpus  # noqa: PLC0415 - imports torch

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
    """Return the folder of the corpus that a champion was trained on.

    Return None if it is missing or damaged.

    The folder is looked for at the recorded path, and then at the usual path in this home, since
    the home may have been moved.
    """
    was = Path(champion.corpus_uri)
    here = home.data / "corpora" / champion.name / was.name
    found = next((path for path in (was, here) if champion.corpus_uri and path.is_dir()), None)
    fault = found and records.fault_of(found)
    if fault:
        logging.getLogger(__name__).warning("%s: %s; judging without it", found, fault)
        return None
    return found
