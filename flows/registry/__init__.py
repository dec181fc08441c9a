"""The registry: versions of models in MLflow, and the aliases that state which version to use.

The alias `champion` names the version in use, `previous` the champion before it, and `challenger`
the newest version that did not become champion. Each time `champion` is given to another version,
this is recorded in the model's journal (see `flows.registry.aliases`).
"""

from flows.lookup.references import ALIASES, CHALLENGER, CHAMPION, PREVIOUS
from flows.registry.aliases import history, is_placed, moving, place, promote, rollback
from flows.registry.checkpoints import checkpoint_path, is_whole
from flows.registry.loading import load_model
from flows.registry.moves import Move
from flows.registry.packaging import is_complete, packaged_models, register
from flows.registry.versions import (
    Version,
    by_alias,
    find,
    newest,
    resolve,
    versions,
)

__all__ = [
    "ALIASES",
    "CHALLENGER",
    "CHAMPION",
    "PREVIOUS",
    "Move",
    "Version",
    "by_alias",
    "checkpoint_path",
    "find",
    "history",
    "is_complete",
    "is_placed",
    "is_whole",
    "load_model",
    "moving",
    "newest",
    "packaged_models",
    "place",
    "promote",
    "register",
    "resolve",
    "rollback",
    "versions",
]
