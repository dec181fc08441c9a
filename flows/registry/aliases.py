"""Moves of the alias `champion` from one version of a model to another, recorded in a journal.

The journal is stored as tags of MLflow's registered model, named `move.0001`, `move.0002` and so
on, so that it is kept with the model and appears on the model's page. A move is first written to
the journal, then the aliases are set and MLflow's pages rewritten (`flows.registry.pages`), then
the move is marked as done. If a process is killed in between, the next process that locks the
aliases completes the move. Thus there is always one champion, and `previous` always names the
champion before it. If the user moved the alias on MLflow's own pages, it is left as it is, and the
move is added to the journal.
"""

import getpass
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime

from filelock import FileLock
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from flows.lookup.references import CHALLENGER, CHAMPION, PREVIOUS
from flows.registry import pages
from flows.registry.moves import Move, read_moves, write_move
from flows.registry.versions import (
    PLACED_TAG,
    Version,
    by_alias,
    read,
    resolve,
    versions,
)
from flows.runtime import locks
from flows.runtime.home import Home
from flows.tracking import connect
from rnnlm.errors import RegistryError


def place(
    home: Home,
    version: Version,
    over: int | None,
    *,
    wins: bool,
    reason: str,
    description: str,
    tags: Mapping[str, str] | None = None,
) -> Version | None:
    """Make a new version champion if it wins, else challenger.

    Args:
        home: Home that holds the registry.
        version: A version without an alias.
        over: Number of the champion that it was compared with; None if there was no champion.
        wins: Whether the gate lets the version become champion.
        reason: Reason for the gate's decision, in one line.
        description: Description of the version, in Markdown.
        tags: Additional tags of the version.

    Returns:
        The version with its alias. If it was made champion or challenger before, it is returned
        unchanged. None if the champion is no longer `over`; then nothing is changed either.
    """
    client, number = connect(home), str(version.version)
    with moving(home, version.name):
        if _is_placed(client, version):
            return read(home, client.get_model_version(version.name, number))
        champion = by_alias(home, version.name, CHAMPION)
        if (champion.version if champion else None) != over:
            return None
        client.update_model_version(version.name, number, description)
        client.set_model_version_tag(version.name, number, "reason", reason)
        for key, value in (tags or {}).items():
            client.set_model_version_tag(version.name, number, key, value)
        if wins:
            _crown(home, version.name, version.version, reason)
        else:
            client.set_registered_model_alias(version.name, CHALLENGER, number)
            pages.rewrite(client, version.name, read_moves(client, version.name))
        client.set_model_version_tag(version.name, number, PLACED_TAG, "yes")
    return read(home, client.get_model_version(version.name, number))


def is_placed(home: Home, version: Version) -> bool:
    """Return whether the gate or the user has ever made a version champion or challenger."""
    with moving(home, version.name):
        return _is_placed(connect(home), version)


def promote(home: Home, name: str, version: str, why: str = "promoted by hand") -> Version:
    """Make a version champion, and give the alias `previous` to the former champion.

    Args:
        home: Home that holds the registry.
        name: Name of the model.
        version: Number of the version.
        why: Reason, for the journal.

    Raises:
        RegistryError: There is no such version.
    """
    with moving(home, name):
        chosen = resolve(home, f"{name}/{version}")
        _crown(home, name, chosen.version, why)
    return resolve(home, f"{name}/{version}")


def rollback(home: Home, name: str, why: str = "rolled back by hand") -> Version:
    """Make the version `previous` champion again, and give its alias to the current champion.

    Args:
        home: Home that holds the registry.
        name: Name of the model.
        why: Reason, for the journal.

    Raises:
        RegistryError: There is no such model, or it has had only one champion.
    """
    with moving(home, name):
        champion, previous = resolve(home, name), by_alias(home, name, PREVIOUS)
        if previous is None:
            raise RegistryError(
                f"{name} has no champion before version {champion.version} to roll back to; "
                f"choose a version with `rnnlm promote {name} VERSION`"
            )
        _crown(home, name, previous.version, why)
    return resolve(home, name)


def history(home: Home, name: str) -> list[Move]:
    """Return all moves in a model's journal, newest first.

    Raises:
        RegistryError: There is no such model.
    """
    if not versions(home, name):
        resolve(home, name)
    return read_moves(connect(home), name)[::-1]


@contextmanager
def moving(home: Home, name: str) -> Iterator[None]:
    """Lock the aliases against other processes, and complete a move that was interrupted.

    MLflow's pages are rewritten if an alias was moved without this module.

    Args:
        home: Home that holds the registry.
        name: Name of the model whose interrupted move is completed, if there is one.
    """
    home.mlruns.mkdir(parents=True, exist_ok=True)
    with FileLock(locks.aliases(home)):
        _settle(home, name)
        yield


def _crown(home: Home, name: str, after: int, why: str) -> None:
    """Make a version champion and record the move; do nothing if it is already champion.

    Args:
        home: Home that holds the registry.
        name: Name of the model.
        after: Number of the version.
        why: Reason, for the journal.
    """
    client = connect(home)
    champion = by_alias(home, name, CHAMPION)
    before = champion.version if champion else None
    if before == after:
        return
    number = len(read_moves(client, name)) + 1
    move = Move(number=number, when=_now(), who=_who(), why=why, before=before, after=after)
    write_move(client, name, move)
    _make(client, name, move)


def _is_placed(client: MlflowClient, version: Version) -> bool:
    found = client.get_model_version(version.name, str(version.version))
    return bool(found.tags.get(PLACED_TAG) == "yes")


def _make(client: MlflowClient, name: str, move: Move) -> None:
    """Set the aliases for a move, rewrite MLflow's pages, and mark the move as done.

    Calling this again for the same move does no harm. If the version to become champion was
    deleted, no alias is set, and the move is marked as done, with a note. If the former champion
    was deleted, only its alias `previous` is not set.
    """
    there = {int(version.version) for version in client.search_model_versions(f"name = '{name}'")}
    if move.after not in there:
        why = f"{move.why} (not made: the version was deleted)"
        write_move(client, name, move.model_copy(update={"done": True, "why": why}))
        return
    client.set_model_version_tag(name, str(move.after), PLACED_TAG, "yes")
    if move.before in there:
        client.set_registered_model_alias(name, PREVIOUS, str(move.before))
    client.set_registered_model_alias(name, CHAMPION, str(move.after))
    for alias, held in client.get_registered_model(name).aliases.items():
        if alias in (CHALLENGER, PREVIOUS) and int(held) == move.after:
            client.delete_registered_model_alias(name, alias)
    pages.rewrite(client, name, read_moves(client, name))
    write_move(client, name, move.model_copy(update={"done": True}))


def _settle(home: Home, name: str) -> None:
    client = connect(home)
    try:
        moves = read_moves(client, name)
    except MlflowException:  # no such model yet
        return
    last, champion = moves[-1] if moves else None, by_alias(home, name, CHAMPION)
    if last is not None and not last.done:
        _make(client, name, last)
    elif last is not None and champion is not None and champion.version != last.after:
        seen = Move(
            number=last.number + 1,
            when=_now(),
            who="MLflow's own pages",
            why="alias moved by hand; recorded later",
            before=last.after,
            after=champion.version,
        )
        write_move(client, name, seen)
        _make(client, name, seen)
    pages.rewrite(client, name, read_moves(client, name))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _who() -> str:
    """Return the name of the current flow run, or the user and machine outside a flow."""
    from prefect.runtime import flow_run  # noqa: PLC0415 - heavy, and absent outside flows

    if flow_run.id is not None:
        return f"flow run {flow_run.name}"
    return f"{getpass.getuser()}@{socket.gethostname()}"
