"""The stage `gate`: it decides whether a new version becomes champion or challenger."""

from flows import registry, tracking
from flows.chain import ruling
from flows.chain.evaluate import Evaluate
from flows.chain.ingest import Ingest
from flows.chain.register import Register
from flows.chain.ruling import Candidate, Ruling
from flows.chain.sample import Sample
from flows.chain.stage import Run, Stage
from flows.chain.train import Train
from flows.registry import Version
from flows.runtime import backups, notifying, reporting
from flows.runtime.home import Home
from flows.tracking import Changes


class Gate(Stage[Version]):
    """Judge a version by its scores and sample texts, and make it champion or challenger."""

    name = "gate"

    def recall(self, run: Run) -> Version | None:
        """Return the version if it has already been made champion or challenger, else None."""
        version = run[Register]
        if not registry.is_placed(run.home, version):
            return None
        return registry.resolve(run.home, f"{version.name}/{version.version}")  # with its alias

    def make(self, run: Run) -> tuple[Version, bool]:
        """Judge the version and set its alias.

        If the champion changed while the version was being judged, judge again.
        """
        if (known := self.recall(run)) is not None:
            return known, True
        home, version = run.home, run[Register]
        candidate = Candidate(
            run.experiment, run[Ingest], run[Train], run[Evaluate], run[Sample], version
        )
        while True:
            ruled = ruling.rule(home, candidate, reporting.teller(self.name))
            place = registry.CHAMPION if ruled.verdict.wins else registry.CHALLENGER
            named = f"{version.name}/{version.version}"
            changes = _changes(home, version, ruled.champion)
            tracking.log_verdict(home, named, version.run_id, place, ruled.verdict, changes)
            placed = registry.place(
                home,
                version,
                ruled.champion.version if ruled.champion else None,
                wins=ruled.verdict.wins,
                reason=ruled.verdict.reason,
                description=ruling.describe(candidate, ruled, changes),
                tags=changes.tags() if changes else {},
            )
            if placed is not None:
                break
        backups.back_up(home)  # so that the backup holds the version, with its alias
        _announce(candidate, placed, ruled)
        return placed, False

    def describe(self, run: Run, result: Version) -> str:  # noqa: ARG002 - the version says it
        """Return the version's alias and the reason for it."""
        return result.described

    def why(self, run: Run) -> str:  # noqa: ARG002 - there is one reason
        """Return words for the plan: the gate has not decided about the version yet."""
        return "has not decided"

    def where(self, run: Run, result: Version) -> str:  # noqa: ARG002 - the version says it
        """Return the reason for the decision, in a few words for the plan."""
        return f"has decided: {result.reason}"


def _changes(home: Home, version: Version, champion: Version | None) -> Changes | None:
    """Write into a version's MLflow run what differs from the champion's, and return it.

    Return None if there is no champion, or if the champion's run no longer exists.
    """
    if champion is None or not champion.run_id or champion.run_id == version.run_id:
        return None
    client = tracking.connect(home)
    return tracking.log_changes(client, version.run_id, champion.run_id, champion.version)


def _announce(candidate: Candidate, placed: Version, ruled: Ruling) -> None:
    """Send notifications: of a new champion, and of a champion that is worse on fresh text.

    Fresh text is the test split of the new version's corpus, if that is not the champion's corpus.
    """
    config, name = candidate.experiment.retraining, placed.name
    if placed.alias == registry.CHAMPION:
        title = f"{name}: version {placed.version} is the new champion"
        notifying.tell(config, "champion", title, placed.reason)
    champion, fresh = ruled.champion, ruled.weighed.fresh_bits
    if champion is not None and fresh is not None and fresh > config.worse_bits:
        title = f"{name}: champion {champion.version} is worse on fresh text"
        body = f"{fresh:.3f} bits per character worse than on its own test documents"
        notifying.tell(config, "worse", title, body)
