"""Where a step's work runs: in this process, in several processes, or on Dask workers.

A step divides its work into shards, such as parts of a corpus, which can run at the same time.
Dask's own settings control the connection to a scheduler: for `tls://` addresses, set
`DASK_DISTRIBUTED__COMM__TLS__CA_FILE`, `…__TLS__CLIENT__CERT` and `…__TLS__CLIENT__KEY`
in the environment.
"""

import os
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import AbstractContextManager, contextmanager

from flows.runtime import dask_workers, home
from flows.runtime.dask_workers import SCHEDULER
from rnnlm.config import GenerationConfig, shorten
from rnnlm.engine.loading import has_gpu_driver
from rnnlm.errors import ConfigError
from rnnlm.parallel import ProcessPool

WORKERS = "RNNLM_WORKERS"
WORTH_WORKERS = 100_000_000
"""Bytes of text below which starting worker processes takes longer than they save."""


@contextmanager
def executor(size: int, usual: int | None = None) -> Iterator[Executor | None]:
    """Yield the executor for a step's shards, or None to run them in this process, one by one.

    If the environment variable `RNNLM_SCHEDULER` is set, it is the address of a Dask scheduler,
    whose workers are used. Else, if `RNNLM_WORKERS` is set, it is the number of processes to start
    on this machine; 1 means to run in this process. If neither is set, work of at least
    `WORTH_WORKERS` bytes gets the usual number of processes.

    Args:
        size: Approximate size of the text to read or write, in bytes.
        usual: The usual number of processes; one per CPU core if it is None.

    Raises:
        ConfigError: The number of workers is invalid, or no scheduler answers at the address.
        WorkerError: See `dask_workers.cluster`.
    """
    address, workers = os.environ.get(SCHEDULER), _workers(size, usual)
    if not address and workers == 1:
        yield None
        return
    if not address:
        with ProcessPool(workers) as pool:
            yield pool
        return
    with dask_workers.cluster(address, home.current().root) as workers_of_dask:
        yield workers_of_dask


def generating(config: GenerationConfig) -> AbstractContextManager[Executor | None]:
    """Return a context manager that yields the executor for generating texts; see `executor`.

    The amount of work is estimated as the number of texts times their maximum length. On a machine
    with GPUs, there is one process for each.
    """
    gpus = None
    if has_gpu_driver():
        from rnnlm.devices import gpu_count  # noqa: PLC0415 - imports torch

        gpus = gpu_count() or None
    return executor(2 * config.count * config.max_length, gpus)


def _workers(size: int, usual: int | None) -> int:
    text = os.environ.get(WORKERS)
    if text is None:
        return (usual or os.cpu_count() or 1) if size >= WORTH_WORKERS else 1
    if not text.isdigit() or not 1 <= int(text) <= 1024:
        raise ConfigError(f"{WORKERS}={shorten(text)} (expected a number of processes, 1 to 1024)")
    return int(text)
