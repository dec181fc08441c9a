"""The main program of each process when several train one model together.

`rnnlm.training.launch` or torchrun starts it. Its arguments are TOKENS EXPERIMENT.json OUT [START].
"""

import os
import signal
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import distributed

from rnnlm.config import Experiment
from rnnlm.errors import RnnlmError
from rnnlm.progress import Progress
from rnnlm.training.launch import tell
from rnnlm.training.run import TrainingRun


def main() -> None:
    """Train as one of several processes.

    The leader (rank 0) sends its progress and errors to the process that started it; see
    `rnnlm.training.launch`.
    """
    tokens_uri, described, out, *starts = sys.argv[1:]
    start = Path(starts[0]) if starts else None
    experiment = Experiment.model_validate_json(Path(described).read_text("utf-8"))
    run: TrainingRun | None = None

    def stop(*_: Any) -> None:
        if run is None:
            raise KeyboardInterrupt
        run.stop_requested = True

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)

    def on_progress(progress: Progress) -> None:
        tell("progress", asdict(progress))

    try:
        run = TrainingRun(tokens_uri, experiment, Path(out), on_progress, start)
        run.loop()
    except RnnlmError as error:
        if run is None or run.group.leads:
            tell(type(error).__name__, str(error))
        sys.exit(1)
    distributed.barrier()
    sys.stdout.flush()
    os._exit(0)  # on a normal exit, gloo's threads abort one process in twenty


if __name__ == "__main__":
    main()
