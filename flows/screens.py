"""What the commands print when they are done."""

from collections.abc import Mapping, Sequence
from typing import Any

from flows import console
from flows.steps import PlannedStep
from rnnlm.autoconfig import Advice


def show_advice(advice: Advice) -> None:
    """Print the choices made for a text, each with its reason."""
    for choice in advice.choices:
        console.err.print(f"  {choice.setting:<10} {choice.value:<18} {choice.reason}")
    console.err.print("  to change a choice, such as the network: --set model.hidden_size=512\n")


def show_plan(planned: Sequence[PlannedStep]) -> None:
    """Print which steps would run, which are cached, and why."""
    console.table(
        ["step", "would", "because"],
        [[s.name, "be cached" if s.cached else "run", s.reason] for s in planned],
    )


def show_result(result: dict[str, Any]) -> None:
    """Print what a training run came to."""
    generated, test = result["generated"], result["test"]
    alias = f" @{result['alias']}" if result["alias"] else ""
    show_texts(generated["form"], generated["examples"])
    console.facts(
        [
            ("model", f"{result['model']}/{result['version']}{alias}, {result['reason']}"),
            (
                "test",
                f"{test['bits_per_character']:.3f} bits per character, "
                f"perplexity {test['perplexity']:.2f} over {test['tokens']:,.0f} tokens",
            ),
            *texts_facts(generated),
            ("more", f"{console.program()} generate {result['model']} --count 10000"),
            ("review", f"{console.program()} ui   (curves, samples, versions in MLflow)"),
        ]
    )


def show_texts(form: str, examples: Sequence[str]) -> None:
    """Print generated texts, colours as swatches."""
    console.out.print()
    if form == "color":
        console.swatches(examples)
    else:
        console.samples(examples)
    console.out.print()


def texts_facts(generated: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the lines about a generated data set."""
    rows = [("texts", f"{generated['count']:,} in {generated['path']}")]
    if generated["form"] == "color":
        rows.append(("valid", f"{generated['valid_share']:.1%} parse as `name R G B`"))
    if generated["copied_share"] is not None:
        what = "names stand" if generated["form"] == "color" else "texts stand whole"
        rows.append(
            ("copied", f"{generated['copied_share']:.1%} of the {what} in the training text")
        )
    if generated["gallery"]:
        rows.append(("gallery", generated["gallery"]))
    return rows
