"""Versions of models, and the aliases that say which one to use.

`champion` is the version in use, `previous` the one before it, `challenger` the newest that did
not make it. Every move of `champion` is written into the model's journal.
"""

from flows.registry.aliases import Move, history, is_placed, place, promote, rollback
from flows.registry.packaging import register
from flows.registry.versions import (
    ALIASES,
    CHALLENGER,
    CHAMPION,
    PREVIOUS,
    Version,
    by_alias,
    checkpoint_path,
    find,
    is_whole,
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
    "is_placed",
    "is_whole",
    "newest",
    "place",
    "promote",
    "register",
    "resolve",
    "rollback",
    "versions",
]
