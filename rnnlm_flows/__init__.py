"""Where programs that know this project by name find its application: pip, Prefect and MLflow.

The application is the package `flows`. A project of yours may have a package of that name, too; so
a wheel holds ours inside this folder, where `import flows` does not find it, and everything that
needs it comes through here. In a checkout, `flows` is beside this folder.

The scheduled flows are `rnnlm_flows.retrain`, `.generate`, `.sweep` and `.housekeeping`: the
entrypoints of deployments in `prefect.yaml`.
"""

import importlib
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

FLOWS = {
    "retrain": ("flows.retrain", "retrain"),
    "generate": ("flows.generation", "generate"),
    "sweep": ("flows.sweep", "sweep"),
    "housekeeping": ("flows.housekeeping", "housekeeping"),
}
"""Module and name of each flow, by its name here."""
PROJECT = "RNNLM_PROJECT"
"""Variable with the folder of the project on this machine; workers set it for flow runs."""
_HERE = Path(__file__).parent
_IS_INSIDE = (_HERE / "flows").is_dir()
FOLDER = _HERE if _IS_INSIDE else _HERE.parent
"""The folder that holds the package `flows`."""
_PACKAGE = "flows"
_lock = threading.RLock()
_ours: dict[str, ModuleType] = {}


def use() -> None:
    """Make `import flows` find our package, in this process and in those that it starts.

    Raises:
        ImportError: Another package `flows` has been imported in this process.
    """
    loaded = sys.modules.get(_PACKAGE)
    if loaded is not None and not _is_ours(loaded):
        place = getattr(loaded, "__file__", None) or "elsewhere"
        raise ImportError(
            f"the package `flows` of {place} has been imported in this process; run rnnlm in a "
            "process of its own, such as with the command `rnnlm`"
        )
    place = str(FOLDER)
    if sys.path[:1] != [place]:
        sys.path.insert(0, place)
    known = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if place not in known:
        os.environ["PYTHONPATH"] = os.pathsep.join([place, *filter(None, known)])


def without_ours(path: str) -> str:
    """Return a value of `PYTHONPATH` without the folder that `use` has added for a wheel."""
    if not _IS_INSIDE:
        return path
    return os.pathsep.join(part for part in path.split(os.pathsep) if part != str(FOLDER))


@contextmanager
def beside_others() -> Iterator[None]:
    """Within this context, `flows` is our package; afterwards, it is whatever it was before.

    It is for code that runs in a process of somebody else, such as a notebook. Imports of `flows`
    by other threads have to wait.
    """
    with _lock:
        if _is_found():
            yield
            return
        theirs = _others()
        for name in theirs:
            del sys.modules[name]
        sys.modules.update(_ours)
        sys.path.insert(0, str(FOLDER))
        importlib.invalidate_caches()
        try:
            yield
        finally:
            sys.path.remove(str(FOLDER))
            _ours.update(_loaded())
            for name in _ours:
                sys.modules.pop(name, None)
            sys.modules.update(theirs)


def source_of(name: str) -> tuple[Path, str]:
    """Return the file and the function of a flow.

    Raises:
        KeyError: There is no such flow.
    """
    module, function = FLOWS[name]
    return FOLDER.joinpath(*module.split(".")).with_suffix(".py"), function


def enter_project() -> dict[str, str]:
    """Return the folder of the project on this machine; the pull step of deployments.

    Prefect calls it in the process of a flow run, and changes to the folder. So deployments name no
    folder, and workers on several machines may have the project in different places.
    """
    return {"directory": os.environ.get(PROJECT) or os.environ.get("RNNLM_HOME") or str(Path.cwd())}


def create_app() -> Any:
    """Return MLflow's web application with access control, for `mlflow server --app-name rnnlm`."""
    use()
    from flows.servers import mlflow_server  # noqa: PLC0415

    return mlflow_server.create_app()


def main() -> None:
    """Run the command line `rnnlm`."""
    use()
    from flows.cli import main as run  # noqa: PLC0415

    run()


def __getattr__(name: str) -> Any:
    if name not in FLOWS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    use()
    module, function = FLOWS[name]
    return getattr(importlib.import_module(module), function)


def _is_ours(module: ModuleType) -> bool:
    file = getattr(module, "__file__", None)
    return file is not None and Path(file).parent.parent.resolve() == FOLDER.resolve()


def _is_found() -> bool:
    """Return whether `import flows` finds our package, as it does in a checkout."""
    spec = find_spec(_PACKAGE)
    places = (spec.submodule_search_locations or []) if spec is not None else []
    return any(Path(place).resolve() == (FOLDER / _PACKAGE).resolve() for place in places)


def _loaded() -> dict[str, ModuleType]:
    return {
        name: module
        for name, module in sys.modules.items()
        if name == _PACKAGE or name.startswith(f"{_PACKAGE}.")
    }


def _others() -> dict[str, ModuleType]:
    """Return the modules of another package `flows` that are loaded."""
    loaded = _loaded()
    package = loaded.get(_PACKAGE)
    return {} if package is None or _is_ours(package) else loaded
