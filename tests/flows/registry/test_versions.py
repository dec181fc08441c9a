"""Test aliases of model versions, and the journal of their moves, in a real MLflow registry."""

import itertools
import multiprocessing
from pathlib import Path

import mlflow
import pytest
import requests
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from flows import registry
from flows.registry import Version
from flows.registry.aliases import moving
from flows.runtime.home import Home
from flows.runtime.retrying import can_help
from flows.tracking import connect
from rnnlm.errors import RegistryError, ServerError


@pytest.fixture
def here(tmp_path: Path) -> Home:
    return Home(tmp_path)


def add(here: Home, name: str = "tiny") -> Version:
    """Add a version without files, since these tests only concern aliases."""
    client = connect(here)
    if not client.search_registered_models(f"name = '{name}'"):
        client.create_registered_model(name)
    known = len(registry.versions(here, name))
    version = Version(name=name, version=0, checkpoint=f"{known + 1:064d}", recipe=f"r{known + 1}")
    created = client.create_model_version(name, source=f"s{known}", tags=version.tags())
    return version.model_copy(update={"version": int(created.version)})


def crown(here: Home, version: Version, reason: str = "better") -> Version | None:
    champion = registry.by_alias(here, version.name, registry.CHAMPION)
    over = champion.version if champion else None
    return registry.place(here, version, over, wins=True, reason=reason, description="**good**")


def aliases(here: Home, name: str = "tiny") -> dict[str, int]:
    held = connect(here).get_registered_model(name).aliases
    return {alias: int(number) for alias, number in held.items()}


def is_linear(here: Home, name: str = "tiny") -> bool:
    """Return whether all moves in the journal are done and form a chain.

    In a chain, each move starts from the champion that the move before it set.
    """
    moves = registry.history(here, name)[::-1]
    return all(move.done for move in moves) and all(
        later.before == earlier.after for earlier, later in itertools.pairwise(moves)
    )


def test_winners_become_champions_and_losers_challengers_with_their_reasons(here: Home):
    first, second, third = add(here), add(here), add(here)
    assert crown(here, first, "no champion before it").alias == "champion"  # type: ignore[union-attr]
    lost = registry.place(here, second, 1, wins=False, reason="0.1 bits worse", description="sad")
    assert lost is not None
    assert (lost.alias, lost.reason) == ("challenger", "0.1 bits worse")
    crown(here, third)
    assert aliases(here) == {"champion": 3, "previous": 1, "challenger": 2}
    page = connect(here).get_model_version("tiny", "3")
    assert page.description.endswith("\n\n**good**")
    model = connect(here).get_registered_model("tiny")
    assert model.description.startswith("Champion of `tiny`: **version 3**.")
    assert "| 1 → **3** | better |" in model.description
    assert "| **champion** |" in model.description


def test_every_move_records_who_when_why_from_and_to(here: Home):
    crown(here, add(here), "no champion before it")
    crown(here, add(here))
    registry.rollback(here, "tiny", "sounds dull")
    registry.promote(here, "tiny", "2")
    moves = registry.history(here, "tiny")
    assert [(move.before, move.after) for move in moves] == [(1, 2), (2, 1), (1, 2), (None, 1)]
    assert [move.why for move in moves][1:3] == ["sounds dull", "better"]
    assert all(move.done and "@" in move.who and move.when for move in moves)
    assert is_linear(here)


def test_promoting_the_champion_changes_nothing(here: Home):
    crown(here, add(here))
    registry.promote(here, "tiny", "1")
    assert len(registry.history(here, "tiny")) == 1


def test_a_first_champion_cannot_be_rolled_back(here: Home):
    crown(here, add(here))
    with pytest.raises(RegistryError, match="no champion before version 1"):
        registry.rollback(here, "tiny")


def test_no_alias_is_given_if_the_champion_has_changed(here: Home):
    crown(here, add(here))
    second, third = add(here), add(here)
    crown(here, second)
    late = registry.place(here, third, 1, wins=True, reason="late", description="")
    assert late is None
    assert aliases(here)["champion"] == 2
    assert not registry.is_placed(here, third)


@pytest.mark.parametrize("calls", range(8))
def test_an_interrupted_move_is_completed(here: Home, monkeypatch: pytest.MonkeyPatch, calls: int):
    crown(here, add(here))
    second = add(here)
    made = 0
    with monkeypatch.context() as cut:
        for name in ("set_registered_model_alias", "set_registered_model_tag"):
            whole = getattr(MlflowClient, name)

            def stop(self, *arguments, whole=whole):
                nonlocal made
                made += 1
                if made > calls:
                    raise MlflowException("cut off")
                whole(self, *arguments)

            cut.setattr(MlflowClient, name, stop)
        try:
            crown(here, second)
            is_cut = False
        except MlflowException:
            is_cut = True
    assert is_cut == (calls < 4)  # the four calls: begun, previous, champion, done
    assert aliases(here)["champion"] in (1, 2)  # there is a champion at any moment
    with moving(here, "tiny"):
        pass
    assert is_linear(here)
    if calls:
        assert aliases(here) == {"champion": 2, "previous": 1}
    else:
        assert aliases(here) == {"champion": 1}


def test_an_interrupted_placing_is_completed_with_its_first_reason(
    here: Home, monkeypatch: pytest.MonkeyPatch
):
    crown(here, add(here), "no champion before it")
    second = add(here)
    with monkeypatch.context() as cut, pytest.raises(MlflowException):
        whole = MlflowClient.set_registered_model_alias

        def stop(self, name, alias, version):
            whole(self, name, alias, version)
            if alias == "champion":
                raise MlflowException("cut off")

        cut.setattr(MlflowClient, "set_registered_model_alias", stop)
        crown(here, second, "0.1 bits better than champion 1")
    assert registry.is_placed(here, second)
    again = registry.place(here, second, 2, wins=False, reason="as good", description="")
    assert again is not None
    assert (again.alias, again.reason) == ("champion", "0.1 bits better than champion 1")
    assert is_linear(here)


def test_a_deleted_version_is_skipped_and_the_journal_continues(here: Home):
    for _ in range(3):
        crown(here, add(here))
    client = connect(here)
    client.delete_model_version("tiny", "3")
    client.set_registered_model_alias("tiny", "champion", "1")
    registry.promote(here, "tiny", "2")
    assert aliases(here) == {"champion": 2, "previous": 1}
    assert registry.rollback(here, "tiny").version == 1
    assert is_linear(here)


def test_an_interrupted_move_to_a_deleted_version_is_closed(
    here: Home, monkeypatch: pytest.MonkeyPatch
):
    crown(here, add(here))
    with monkeypatch.context() as cut, pytest.raises(MlflowException):

        def stop(*_):
            raise MlflowException("cut off")

        cut.setattr(MlflowClient, "set_registered_model_alias", stop)
        crown(here, add(here))
    connect(here).delete_model_version("tiny", "2")
    third = add(here)
    crown(here, third)
    assert aliases(here) == {"champion": 3, "previous": 1}
    assert "was deleted" in registry.history(here, "tiny")[1].why


@pytest.mark.parametrize(
    "error",
    [
        requests.ConnectionError("refused"),
        MlflowException("API request to http://joe:s3cret@m:5000 failed: timed out"),
    ],
)
def test_an_unreachable_store_is_not_a_missing_version(
    here: Home, monkeypatch: pytest.MonkeyPatch, error: Exception
):
    def refuse(*_, **__):
        raise error

    monkeypatch.setattr(mlflow.artifacts, "download_artifacts", refuse)
    with pytest.raises(ServerError, match="try again when it answers") as raised:
        registry.checkpoint_path(here, add(here))
    assert can_help(raised.value)
    assert "s3cret" not in str(raised.value)


def test_an_alias_moved_by_hand_stays_and_is_recorded(here: Home):
    crown(here, add(here))
    crown(here, add(here))
    add(here)
    connect(here).set_registered_model_alias("tiny", "champion", "3")
    with moving(here, "tiny"):
        pass
    newest = registry.history(here, "tiny")[0]
    assert (newest.before, newest.after, newest.who) == (2, 3, "MLflow's own pages")
    assert aliases(here) == {"champion": 3, "previous": 2}
    assert registry.rollback(here, "tiny").version == 2


def _crown_many(root: Path, numbers: list[int]) -> None:
    here = Home(root)
    for number in numbers:
        registry.promote(here, "tiny", str(number))


@pytest.mark.slow
def test_concurrent_flows_leave_one_champion_and_a_journal_without_gaps(here: Home):
    for _ in range(6):
        add(here)
    context = multiprocessing.get_context("spawn")
    orders = ([1, 3, 5, 2], [6, 5, 4, 3])
    running = [context.Process(target=_crown_many, args=(here.root, order)) for order in orders]
    for process in running:
        process.start()
    for process in running:
        process.join(120)
        assert process.exitcode == 0
    moves = registry.history(here, "tiny")
    assert [move.number for move in moves] == list(range(len(moves), 0, -1))
    assert is_linear(here)
    assert aliases(here)["champion"] == moves[0].after
    assert aliases(here)["previous"] == moves[0].before


def test_a_name_resolves_to_its_champion_or_else_to_its_challenger(here: Home):
    version = add(here)
    with pytest.raises(RegistryError, match="no alias 'champion'"):
        registry.resolve(here, "tiny")
    registry.place(here, version, None, wins=False, reason="worse than the n-grams", description="")
    assert registry.resolve(here, "tiny").alias == "challenger"
    with pytest.raises(RegistryError, match=r"no alias 'champion'.*there are: challenger"):
        registry.resolve(here, "tiny@champion")


def test_versions_are_found_by_content_and_by_recipe(here: Home):
    first, second = add(here), add(here)
    assert registry.find(here, "tiny", first.checkpoint) is not None
    assert registry.find(here, "tiny", "0" * 64) is None
    assert registry.newest(here, "tiny") is None  # no version has been placed yet
    crown(here, first)
    newest = registry.newest(here, "tiny", "r1")
    assert newest is not None
    assert newest.version == first.version
    assert registry.newest(here, "tiny", second.recipe) is None
