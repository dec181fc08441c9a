"""The command `settings`, which explains the settings of an experiment."""

from typing import TYPE_CHECKING, Annotated

import typer

from flows.commands.options import Json
from flows.console.endings import print_json

if TYPE_CHECKING:
    from rnnlm.config.reference import Setting


def settings(
    key: Annotated[
        str | None, typer.Argument(metavar="[KEY]", help="A section or setting; all by default.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Explain the settings of a config file and of `--set`."""
    from rnnlm.config import reference  # noqa: PLC0415

    found = reference.find(key) if key else [*reference.settings()]
    if as_json:
        print_json({"settings": [vars(setting) for setting in found]})
    elif key:
        _explain(found)
    else:
        _summarise(found)


def _explain(found: "list[Setting]") -> None:
    """Print settings with their values, defaults and descriptions."""
    from flows.console import printing  # noqa: PLC0415

    for number, setting in enumerate(found):
        default = f"by default {setting.default}" if setting.default else "no default"
        printing.paragraph(setting.key, style="bold", space=number > 0)
        printing.paragraph(f"{setting.values}; {default}", indent=4, style="dim")
        printing.paragraph(setting.description, indent=4)


def _summarise(found: "list[Setting]") -> None:
    """Print the names of all settings, by section."""
    from flows.console import printing  # noqa: PLC0415
    from rnnlm.config.reference import sections  # noqa: PLC0415

    for section, about in sections().items():
        names = [s.key.partition(".")[2] for s in found if s.key.startswith(f"{section}.")]
        own = [name for name in names if "[]" not in name]
        printing.paragraph(f"{section}: {about}", style="bold")
        printing.paragraph(", ".join(own), indent=4)
    printing.paragraph("To explain one section: rnnlm settings training", space=True)
