"""Write the settings, progress and results of training runs to MLflow.

Each training run has an MLflow run, tagged with the digest of the checkpoint it produced.
Training sends its curves to the run as it goes. They are also kept on disk, in the training's
history, so that the run can be written again if MLflow's database is lost.
"""

from flows.lookup.entries import CHECKPOINT_TAG
from flows.tracking.changes import Changes, log_changes
from flows.tracking.connecting import connect, is_local
from flows.tracking.live import LiveRun, live_run
from flows.tracking.runs import (
    TRIGGER_TAG,
    ensure_run,
    find_run,
    log_alias,
    log_review,
    log_scores,
    log_stages,
    log_verdict,
)
from flows.tracking.sweep_runs import SweepRun, end_pruned, sweep_run
from flows.tracking.texts import log_generation, log_texts

__all__ = [
    "CHECKPOINT_TAG",
    "TRIGGER_TAG",
    "Changes",
    "LiveRun",
    "SweepRun",
    "connect",
    "end_pruned",
    "ensure_run",
    "find_run",
    "is_local",
    "live_run",
    "log_alias",
    "log_changes",
    "log_generation",
    "log_review",
    "log_scores",
    "log_stages",
    "log_texts",
    "log_verdict",
    "sweep_run",
]
