"""Which version of a model a reference means: `name`, `name@alias` or `name/version`."""

from collections.abc import Callable, Collection, Mapping

from rnnlm.errors import RegistryError
from rnnlm.spelling import did_you_mean

CHAMPION, CHALLENGER, PREVIOUS = "champion", "challenger", "previous"
ALIASES = (CHAMPION, CHALLENGER, PREVIOUS)


def is_second_choice(reference: str, name: str, alias: str | None) -> bool:
    """Return whether a name alone was given and means the challenger, for want of a champion."""
    return reference == name and alias != CHAMPION


def choose(
    reference: str,
    names: Collection[str],
    numbers: Callable[[str], Collection[int]],
    aliases: Callable[[str], Mapping[str, int]],
) -> tuple[str, int]:
    """Return the name and the number of the version that a reference means.

    A name alone means the champion or, if there is no champion yet, the challenger.

    Args:
        reference: The reference.
        names: Names of all models.
        numbers: Returns the numbers of a model's versions, newest first.
        aliases: Returns a model's aliases, each with the number of the version that it names.

    Raises:
        RegistryError: There is no such version; the message lists those that exist.
    """
    name, at, alias = reference.partition("@")
    name, slash, number = name.partition("/")
    if name not in names:
        known = ", ".join(sorted(names)) or "none yet; make one with `rnnlm train`"
        made = "; `rnnlm train` makes others" if names else ""
        hint = did_you_mean(name, names) or f"there are: {known}{made}"
        raise RegistryError(f"no model {name!r} ({hint})")
    there = numbers(name)
    if slash:
        if found := [known for known in there if str(known) == number]:
            return name, found[0]
        listed = ", ".join(map(str, there))
        raise RegistryError(f"{name} has no version {number!r} (there are: {listed})")
    held = {key: value for key, value in aliases(name).items() if value in there}
    for wanted in (alias,) if at else (CHAMPION, CHALLENGER):
        if wanted in held:
            return name, held[wanted]
    listed = ", ".join(sorted(held)) or "none"
    raise RegistryError(f"{name} has no alias {alias if at else CHAMPION!r} (there are: {listed})")
