"""Options that several commands share, and the functions that interpret them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rnnlm.autoconfig import Advice
    from rnnlm.config import Experiment

CONFIGS = Path(__file__).parents[1] / "configs"
"""The configs that come with the package; users can name one by its file name without `.toml`."""

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a setting (repeatable)."),
]
Workers = Annotated[
    int | None,
    typer.Option(help="Processes that read and tokenize; default: one per core for large texts."),
]
ModelReference = Annotated[
    str, typer.Argument(metavar="MODEL", help="name, name@alias or name/version.")
]
ModelName = Annotated[str, typer.Argument(metavar="MODEL", help="The model's name.")]


def read_experiment(source: str, settings: tuple[str, ...]) -> "tuple[Advice | None, Experiment]":
    """Return the experiment (all settings) for a config file or a text, and the advice behind it.

    A text that cannot be read raises an error here, before a server or a training run starts.

    Args:
        source: A .toml file, the name of one in `CONFIGS`, the name of a catalog corpus, or a text
            file or folder.
        settings: `key=value` settings of `--set`, which take precedence.

    Returns:
        The advice (chosen settings with their reasons), which is None for a config file, and the
        experiment.
    """
    from flows.registry import bases  # noqa: PLC0415
    from flows.runtime import home  # noqa: PLC0415
    from rnnlm import config  # noqa: PLC0415
    from rnnlm.corpora.catalog import catalog  # noqa: PLC0415

    here = home.current()
    path, cache = Path(source), here.sources
    if not path.exists() and (CONFIGS / f"{source}.toml").is_file():
        path = CONFIGS / f"{source}.toml"
    if path.suffix == ".toml":
        from rnnlm.corpora.preview import look  # noqa: PLC0415

        experiment = config.load(path, settings)
        if experiment.corpus.source not in catalog():
            look(experiment.corpus, cache)
        return None, bases.fit(here, experiment)
    from flows.commands import naming  # noqa: PLC0415
    from rnnlm.autoconfig import advise  # noqa: PLC0415

    advice = advise(source, cache, settings)
    if not any(setting.startswith("name=") for setting in settings):
        advice = naming.distinct(here, advice, source)
    return advice, bases.fit(here, advice.experiment)


def set_workers(workers: int | None, scheduler: str | None = None) -> None:
    """Set the environment variables from which tasks read how many processes to use, and where.

    Args:
        workers: Number of worker processes; None leaves the variable as it is.
        scheduler: Address of a Dask scheduler; None leaves the variable as it is.
    """
    import os  # noqa: PLC0415

    from flows.runtime.dask_workers import SCHEDULER  # noqa: PLC0415
    from flows.runtime.workers import WORKERS  # noqa: PLC0415

    if workers is not None:
        os.environ[WORKERS] = str(workers)
    if scheduler is not None:
        os.environ[SCHEDULER] = scheduler
