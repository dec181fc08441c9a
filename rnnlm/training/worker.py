"""The main program of each process when several train one model together.

`rnnlm.training.launch` or torchrun starts it. Its arguments are TOKENS EXPERIMENT.json OUT [START].
"""

import os
import signal
import sys
from pathlib import Path
from typing import Any

from rnnlm.config import Experiment
from rnnlm.errors import RnnlmError, WorkerError
from rnnlm.training.group import leave
from rnnlm.training.launch import tell
from rnnlm.training.run import TrainingRun


def main() -> None:
    """Train as one of several processes.

    The leader (rank 0) reports its progress and errors; see `rnnlm.training.launch.tell`. A
    process that lost another one says so itself.
    """
    tokens_uri, described, out, *starts = sys.argv[1:]
    start = Path(starts[0]) if starts else None
    experiment = Experiment.model_validate_json(Path(described).read_text("utf-8"))
    run: TrainingRun | None = None
    status = 0

    def stop(*_: Any) -> None:
        if run is None:
            raise KeyboardInterrupt
        run.stop_requested = True

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)

    try:
        run = TrainingRun(tokens_uri, experiment, Path(out), tell, start)
        run.loop()
        leave()
    except WorkerError as error:
        sys.stderr.write(f"error: {error}\n")
        status = 1
    except KeyboardInterrupt:  # the position is saved
        status = 128 + signal.SIGINT
    except RnnlmError as error:
        if run is None or run.group.leads:
            tell(error)
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # on a normal exit, gloo's threads abort one process in twenty


if __name__ == "__main__":
    main()
