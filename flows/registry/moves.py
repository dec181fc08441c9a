"""The journal of a model: each move of its alias `champion`, stored as tags of MLflow's model."""

import json
from typing import Any

from mlflow.tracking import MlflowClient
from pydantic import BaseModel, ConfigDict

from rnnlm.errors import RegistryError
from rnnlm.saved import checked, parse_json

_MOVE = "move."


class Move(BaseModel):
    """A move of the alias `champion` to another version.

    Attributes:
        number: Number of the move, counted from 1 for each model.
        when: Time of the move in UTC, in ISO 8601 format, to the second.
        who: User and machine, or name of the flow run, that made the move.
        why: Reason in a few words.
        before: Number of the version that was champion; None for the first move.
        after: Number of the version that became champion.
        done: Whether the aliases have been set; False while the move is under way.
    """

    model_config = ConfigDict(frozen=True)

    number: int
    when: str
    who: str
    why: str
    before: int | None
    after: int
    done: bool = False


def read_moves(client: MlflowClient, name: str) -> list[Move]:
    """Return a model's journal, oldest move first.

    Raises:
        RegistryError: A tag of the journal is damaged.
    """
    tags = client.get_registered_model(name).tags
    keys = sorted(key for key in tags if key.startswith(_MOVE))
    return [_move(name, key, tags[key]) for key in keys]


def _move(name: str, key: str, value: str) -> Move:
    """Return a change of champion from its tag.

    Raises:
        RegistryError: The tag is damaged.
    """
    try:
        known = parse_json(value, dict[str, Any])
        move: Move = checked({**known, "number": key.removeprefix(_MOVE)}, Move)
    except ValueError as error:
        raise RegistryError(
            f"the tag {key} of the model {name} is damaged ({error}); delete it on MLflow's page"
        ) from error
    return move


def write_move(client: MlflowClient, name: str, move: Move) -> None:
    """Write a move into a model's journal, in place of an earlier one with the same number."""
    value = json.dumps(move.model_dump(exclude={"number"}), ensure_ascii=False)
    client.set_registered_model_tag(name, f"{_MOVE}{move.number:04d}", value)
