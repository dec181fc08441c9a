"""MLflow runs: settings, progress and results.

A run belongs to a checkpoint. Training sends its curves to the run as it goes. If the store is
lost, the run is written again from the history on disk, so what MLflow shows can be restored.
"""

from flows.tracking.connecting import connect, is_local
from flows.tracking.live import LiveRun, live_run
from flows.tracking.runs import (
    CHECKPOINT_TAG,
    TRIGGER_TAG,
    ensure_run,
    find_run,
    log_review,
    log_scores,
    log_stages,
    log_verdict,
)
from flows.tracking.sweeps import SweepRun, end_pruned, sweep_run
from flows.tracking.texts import log_generation, log_texts

__all__ = [
    "CHECKPOINT_TAG",
    "TRIGGER_TAG",
    "LiveRun",
    "SweepRun",
    "connect",
    "end_pruned",
    "ensure_run",
    "find_run",
    "is_local",
    "live_run",
    "log_generation",
    "log_review",
    "log_scores",
    "log_stages",
    "log_texts",
    "log_verdict",
    "sweep_run",
]
