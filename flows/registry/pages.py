"""Keep MLflow's pages of a model and its versions true when aliases move.

The description of a version begins with a paragraph on its present alias, which is replaced here;
the rest of it, the gate's verdict, never changes. The description of the model lists its latest
versions and the moves of its champion. The MLflow run of each version has a tag with its alias.
"""

import re
from collections.abc import Mapping, Sequence

from mlflow.entities.model_registry import ModelVersion
from mlflow.tracking import MlflowClient

from flows.lookup.references import ALIASES, CHALLENGER, CHAMPION, PREVIOUS
from flows.registry.moves import Move
from flows.tracking import log_alias
from flows.tracking.changes import CODE_TAG, DATA_TAG, NOTHING, SETTINGS_TAG
from flows.tracking.views import model_page
from rnnlm.audit.markdown import table
from rnnlm.visible import visible_line

SHOWN_MOVES, SHOWN_VERSIONS = 20, 10
"""Number of the latest moves, and of the latest versions, in a model's description."""
_STATUS = re.compile(r"Now (the )?(champion|challenger|previous champion|without an alias)\b")
_EARLIER = re.compile(r"(champion|challenger): ")
"""Beginning of the descriptions that earlier versions of the package wrote."""


def rewrite(client: MlflowClient, name: str, moves: Sequence[Move]) -> None:
    """Make the descriptions of a model and of its versions say which version has which alias.

    Only what has changed is written. If the process is killed in between, the next call completes
    the rest.

    Args:
        client: Client of the MLflow store.
        name: Name of the model.
        moves: The journal of the model, oldest first.
    """
    model = client.get_registered_model(name)
    held = {
        int(model.aliases[alias]): alias for alias in reversed(ALIASES) if alias in model.aliases
    }
    found = client.search_model_versions(f"name = '{name}'")
    versions = sorted(found, key=lambda version: -int(version.version))
    for version in versions:
        alias = held.get(int(version.version))
        if alias is None and not version.description:
            continue  # the gate has not judged it yet
        status = _status(version, alias, held, moves)
        description = with_status(version.description or "", status)
        if description != version.description:
            if version.run_id:
                log_alias(client, version.run_id, f"{name}/{version.version}", alias)
            client.update_model_version(name, version.version, description)
    described = _described(name, versions, held, moves)
    if described != model.description:
        client.update_registered_model(name, described)


def with_status(description: str, status: str) -> str:
    """Return a version's description with another first paragraph on its alias.

    Args:
        description: The description; its first paragraph is replaced if it is on the alias too.
        status: The new paragraph.
    """
    return f"{status}\n\n{without_status(description)}".rstrip()


def without_status(description: str) -> str:
    """Return a version's description without the first paragraph on its alias.

    Where an earlier version of the package wrote the gate's decision as if it were the present
    alias, that is reworded.
    """
    first, _, rest = description.partition("\n\n")
    if _STATUS.match(first):
        return rest
    if _EARLIER.match(first):
        alias, _, reason = first.partition(": ")
        return f"The gate made it **{alias}**: {reason}.\n\n{rest}"
    return description


def _status(
    version: ModelVersion, alias: str | None, held: Mapping[int, str], moves: Sequence[Move]
) -> str:
    """Return the paragraph on a version's alias.

    Args:
        version: The version.
        alias: Its alias, if any.
        held: The alias of each version that has one.
        moves: The journal of the model, oldest first.
    """
    number = int(version.version)
    champion = next(
        (f"version {n}" for n, alias in held.items() if alias == CHAMPION), "no version"
    )
    if alias == CHAMPION:
        move = next((move for move in moves[::-1] if move.after == number), None)
        if move is None:
            return "Now the champion."
        is_gates = move.why == version.tags.get("reason")
        why = "" if is_gates else f": {visible_line(move.why)}"
        return f"Now the champion, since {_time(move)} UTC{why}."
    if alias == PREVIOUS:
        return f"Now the previous champion; {champion} is the champion."
    if alias == CHALLENGER:
        return f"Now the challenger; {champion} is the champion."
    return "Now without an alias."


def _described(
    name: str,
    versions: Sequence[ModelVersion],
    held: Mapping[int, str],
    moves: Sequence[Move],
) -> str:
    """Return a model's description in Markdown: its champion, versions and moves.

    Args:
        name: Name of the model.
        versions: Its versions, newest first.
        held: The alias of each version that has one.
        moves: The journal of the model, oldest first.
    """
    champion = next((number for number, alias in held.items() if alias == CHAMPION), None)
    parts = [
        f"`{name}` has no champion yet."
        if champion is None
        else f"Champion of `{name}`: **version {champion}**."
    ]
    shown = [
        version
        for place, version in enumerate(versions)
        if place < SHOWN_VERSIONS or int(version.version) in held
    ]
    head = ("version", "now", "bits per character", "the gate's reason", "changed")
    parts.append(table(head, [_row(name, version, held) for version in shown]))
    rows = [
        (
            _time(move),
            f"{move.before or '–'} → **{move.after}**",
            visible_line(move.why),
            visible_line(move.who),
        )
        for move in moves[::-1][:SHOWN_MOVES]
    ]
    if rows:
        parts += ["Moves:", table(("when (UTC)", "champion", "why", "who"), rows)]
    return "\n\n".join(parts)


def _row(name: str, version: ModelVersion, held: Mapping[int, str]) -> tuple[str, ...]:
    """Return a version's row in the table of versions."""
    number, tags = int(version.version), version.tags
    try:
        bits = f"{float(tags['test_bits_per_character']):.3f}"
    except (KeyError, ValueError):
        bits = "–"
    changed = [tags[tag] for tag in (SETTINGS_TAG, DATA_TAG, CODE_TAG) if tag in tags]
    said = "; ".join(each for each in changed if each != NOTHING)
    alias = f"**{held[number]}**" if number in held else ""
    link = f"[{number}]({model_page(name, number)[1:]})"
    reason = visible_line(tags.get("reason", ""))
    return link, alias, bits, reason, said or (NOTHING if changed else "")


def _time(move: Move) -> str:
    """Return the time of a move, to the minute."""
    return move.when.replace("T", " ")[:16]
