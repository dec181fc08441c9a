"""The help pages of the command line: commands in groups, each page with examples."""

from typing import Any

from typer.core import TyperGroup

GROUPS: dict[str, tuple[str, ...]] = {
    "Train and generate": ("train", "sample", "generate", "play", "inspect", "corpora", "sweep"),
    "Models": (
        "models",
        "evaluate",
        "history",
        "promote",
        "rollback",
        "export",
        "import",
        "delete",
    ),
    "Servers and upkeep": ("init", "ui", "serve", "work", "housekeeping", "doctor", "settings"),
}
"""The groups in which `rnnlm --help` lists the commands; commands in no group come last."""

EXAMPLES: dict[str, tuple[str, ...]] = {
    "train": (
        "rnnlm train book.txt",
        "rnnlm train book.txt --plan",
        "rnnlm train recipes --set training.budget='20 min'",
    ),
    "sample": (
        "rnnlm sample book",
        "rnnlm sample book 'The ' -n 3 -t 0.3,0.7,1.1",
        "rnnlm sample book --surprise",
    ),
    "generate": (
        "rnnlm generate book --count 1000 --temperature 0.7",
        "rnnlm generate book --prefix 'The ' --novel-only --format jsonl",
        "rnnlm generate colors --count 1M --unique --grammar color",
    ),
    "inspect": ("rnnlm inspect book.txt", "rnnlm inspect letters/ --set corpus.encoding=cp1252"),
    "corpora": ("rnnlm corpora", "rnnlm train colors"),
    "sweep": ("rnnlm sweep colors --over training.learning_rate=0.001..0.02",),
    "models": ("rnnlm models",),
    "evaluate": ("rnnlm evaluate book", "rnnlm evaluate book/2 --text other.txt --dynamic"),
    "history": ("rnnlm history book",),
    "promote": ("rnnlm promote book 3 --why 'reads better'",),
    "rollback": ("rnnlm rollback book",),
    "export": (
        "rnnlm export book --archive book.zip",
        "rnnlm export book --html book.html",
        "rnnlm export book --out base.safetensors",
        "rnnlm export book --onnx book.onnx",
        "rnnlm export ngrams --arpa ngrams.arpa",
    ),
    "import": ("rnnlm import book.zip", "rnnlm import book.zip --name novel --promote"),
    "delete": ("rnnlm delete book/2", "rnnlm delete book --force --yes"),
    "play": ("rnnlm play book", "rnnlm play english"),
    "doctor": ("rnnlm doctor", "rnnlm doctor --repair"),
    "init": ("rnnlm init", "rnnlm init novels --text novels/"),
    "ui": ("rnnlm ui",),
    "serve": ("rnnlm serve",),
    "work": ("rnnlm work",),
    "housekeeping": ("rnnlm housekeeping", "rnnlm housekeeping --apply --keep-days 7"),
    "settings": ("rnnlm settings", "rnnlm settings training", "rnnlm settings training.bptt"),
}
"""Commands to try, for the help page of each command."""

WELCOME = """\
rnnlm turns any text into a language model, and the model into texts.

  rnnlm train book.txt               train a model on your own text
  rnnlm sample book                  print texts as they are drawn
  rnnlm generate book --count 1000   write a data set of texts
  rnnlm inspect book.txt             see how a text is read, before training
  rnnlm ui                           open the pages with curves and versions

No text at hand? rnnlm train colors-demo takes a minute.
All commands: rnnlm --help. Help on one: rnnlm train --help.
"""
"""What `rnnlm` prints without a command."""

WHERE = """\
\b
Models and data are kept in data/ and mlruns/ of the home: the nearest
project above the current folder, or else the current folder. Set
RNNLM_HOME=FOLDER for another home; `rnnlm init` makes a folder a project.
"""
"""The end of `rnnlm --help`."""


class GroupedCommands(TyperGroup):
    """The commands of `rnnlm`; its help page lists them in `GROUPS`."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the commands of each group, with what each does."""
        others = [name for name in self.commands if not any(name in g for g in GROUPS.values())]
        for title, names in [*GROUPS.items(), ("Others", (*others,))]:
            rows = [
                (name, (command.help or "").split("\n\n")[0])
                for name in names
                if (command := self.get_command(ctx, name)) is not None
            ]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)


def examples_of(command: str) -> str | None:
    r"""Return the end of a command's help page: its examples, on lines of their own.

    `\b` keeps Typer from joining the lines.
    """
    lines = EXAMPLES.get(command)
    return "\b\n" + "\n".join(["Examples:", *(f"  {line}" for line in lines)]) if lines else None
