"""Functions that print the results of commands, such as the report on a corpus."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from flows.console import printing, tables
from flows.console.hints import what_to_try
from rnnlm.corpora.ingestion import Corpus, FileRead
from rnnlm.dataset import Tokens
from rnnlm.report import CorpusReport

if TYPE_CHECKING:
    from flows.chain.plan import PlannedStage
    from rnnlm.autoconfig import Advice

SHOWN_FILES = 12  # files that are listed; the others are only counted
SHOWN_NAME = 28
"""Number of characters of a file name that are shown."""

MUCH_CUT = 0.1
"""Share of texts cut off at their greatest length from which it is mentioned."""

FORMS = {
    "color": "parse as a colour",
    "recipe": "parse as a MealMaster recipe",
    "prose": "end a sentence",
}
"""For each form of text, what a valid text does, worded for display after a percentage. Texts of
other forms are valid unless they are empty."""


def show_advice(advice: "Advice", seconds: float | None = None) -> None:
    """Print the settings chosen for a text, each with its reason.

    Args:
        advice: The chosen settings.
        seconds: Estimated training time, which is printed too; None to leave it out.
    """
    rows = [(choice.setting, choice.value, choice.reason) for choice in advice.choices]
    if seconds is not None:
        took = printing.duration(seconds)
        rows.append(("training", took, "estimated, at this machine's current speed"))
    width = max(18, *(len(value) for _, value, _ in rows))
    for setting, value, reason in rows:
        lead = f"  {setting:<11} {value:<{width}}  "
        printing.err.print(printing.hanging(printing.err, lead, reason))
    printing.err.print("  to change a choice, such as the network: --set model.hidden_size=512\n")


def show_plan(planned: "Sequence[PlannedStage]") -> None:
    """Print for each step of a training run whether it would run or is cached, and why."""
    tables.show(
        ["step", "would", "because"],
        [[s.name, "be cached" if s.cached else "run", s.reason] for s in planned],
    )


def show_result(result: dict[str, Any]) -> None:
    """Print the result of a training run: sampled texts, the new version, its scores and hints."""
    generated, test = result["generated"], result["test"]
    alias = f" @{result['alias']}" if result["alias"] else ""
    show_texts(generated["form"], generated["examples"])
    printing.facts(
        [
            ("model", f"{result['model']}/{result['version']}{alias}, {result['reason']}"),
            *score_facts(test),
            *texts_facts(generated),
            *[("try", hint) for hint in what_to_try(result)],
            ("more", f"{printing.program()} generate {result['model']} --count 10000"),
            ("review", f"{printing.program()} ui   (curves, samples, versions in MLflow)"),
        ]
    )


def score_facts(test: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what to print about a test score: names and values.

    Args:
        test: Figures of the score; see `rnnlm.evaluation.held_out.TestScores.figures`.
    """
    rows = [
        (
            "test",
            f"{test['bits_per_character']:.3f} bits per character "
            f"({test['bits_per_character_low']:.3f} to {test['bits_per_character_high']:.3f}), "
            f"perplexity {test['perplexity']:.2f} over {test['tokens']:,.0f} tokens",
        ),
        (
            "n-grams",
            f"{test['ngram_bits_per_character']:.3f} bits per character on the same text",
        ),
    ]
    if test.get("unknown"):
        rows.append(
            ("unknown", f"{test['unknown']:,.0f} of the tokens; the verdict counts their spelling")
        )
    return rows


def show_corpora(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print the corpora of the catalog."""

    def status(row: Mapping[str, Any]) -> str:
        if row["here"]:
            return "available"
        return "to install" if row["package"] else "to download"

    tables.show(
        ["corpus", "files", "MB", "status", "description"],
        [
            [
                row["name"],
                row["files"] or "–",
                f"{row['bytes'] / 1e6:.1f}" if row["bytes"] else "–",
                status(row),
                row["description"],
            ]
            for row in rows
        ],
        right=[1, 2],
    )
    printing.out.print("\n  to train on one: rnnlm train NAME", style="dim")
    printing.out.print("  to train on your own text: rnnlm train FILE", style="dim")


def show_report(corpus: Corpus, tokens: Tokens, report: CorpusReport) -> None:
    """Print a report on a corpus, and some of its documents as the model sees them."""
    tables.show(
        ["split", "documents", "characters", "tokens", "unknown"],
        [
            [
                split,
                f"{corpus.documents[split]:,}",
                f"{corpus.characters[split]:,}",
                f"{tokens.tokens[split]:,}",
                f"{tokens.unknown[split] / max(1, tokens.tokens[split]):.2%}",
            ]
            for split in corpus.documents
        ],
        right=[1, 2, 3, 4],
    )
    shortest, quarter, median, three_quarters, longest = report.length_quantiles
    frequent = ", ".join(f"{shown(t)} {s:.1%}" for t, s in [*tokens.most_frequent.items()][:8])
    printing.out.print()
    printing.facts(
        [
            (
                "lengths",
                f"{shortest:,} {printing.sparkline(report.length_counts)} {longest:,} characters, "
                f"half of them from {quarter:,} to {three_quarters:,}, median {median:,}",
            ),
            (
                "tokens",
                f"vocabulary {tokens.vocab_size:,}, {report.characters_per_token:.2f} characters "
                f"and {report.bytes_per_token:.2f} bytes per token",
            ),
            ("frequent", frequent),
            ("cleaned", _counted(corpus.cleaned) or "nothing"),
            ("dropped", _counted(corpus.dropped) or "nothing"),
            ("report", report.path),
        ]
    )
    _show_files(corpus)
    for what, examples in corpus.examples.items():
        printing.out.print(f"\n  {what}", style="dim")
        printing.samples(examples, at_most=len(examples))
    printing.out.print(f"\n  {len(report.samples)} documents as the model sees them", style="dim")
    printing.samples(report.samples, at_most=len(report.samples))


def shown(token: str) -> str:
    """Return a token with its spaces and line ends made visible."""
    return repr(token)[1:-1].replace(" ", "␣")


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.items())


def _show_files(corpus: Corpus) -> None:
    """Print how each file was read, so that the user notices a wrong guess before training starts.

    A guess concerns the encoding, the file format, or what counts as a document.
    """
    printing.out.print()
    shown = corpus.files[:SHOWN_FILES]
    tables.show(
        ["file", "read as", "encoding", "a document is", "documents"],
        [
            [
                _end_of(file.name),
                file.reader if file.count or file.bytes else "empty",
                file.encoding,
                _document_of(file),
                f"{file.count:,}",
            ]
            for file in shown
        ],
        right=[4],
    )
    if more := len(corpus.files) - len(shown):
        printing.out.print(f"  and {more:,} more", style="dim")
    if guessed := [file.name for file in corpus.files if not file.is_sure]:
        printing.out.print(
            f"  The encoding of {_end_of(guessed[0])} is a guess. If its text looks wrong: "
            "--set corpus.encoding=NAME",
            style="yellow",
        )


def _end_of(name: str) -> str:
    return name if len(name) <= SHOWN_NAME else f"…{name[1 - SHOWN_NAME :]}"


def _document_of(file: FileRead) -> str:
    """Return a few words that say what counts as one document of a file, such as `a line`."""
    one = {"lines": "a line", "passages": "a passage", "paragraphs": "a paragraph"}
    said = one | {"chapters": "a chapter", "records": "a record", "whole": "a record"}
    if file.reader == "text" and file.documents == "whole":
        return "the file"
    is_field = file.render not in ("{text}", "recipe", "color")
    return said.get(file.documents, file.documents) + f", {file.render}" * is_field


def show_texts(form: str, examples: Sequence[str]) -> None:
    """Print generated texts; colours are printed as blocks of colour with their names."""
    printing.out.print()
    if form == "color":
        printing.swatches(examples)
    else:
        printing.samples(examples)
    printing.out.print()


def texts_facts(generated: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return (name, value) rows about a generated data set, such as its share of valid texts."""
    figures, form = generated["audit"]["generated"], generated["form"]
    drawn = generated["drawn"] - generated["count"]
    more = f" ({drawn:,} others were rejected)" if drawn else ""
    if generated["was_finished"]:
        more += "; they were finished already, nothing was done"
    rows = [("texts", f"{generated['count']:,} in {generated['path']}{more}")]
    if form in FORMS:
        rows.append(("valid", f"{generated['valid_share']:.1%} {FORMS[form]}"))
    elif empty := round((1.0 - generated["valid_share"]) * generated["count"]):
        rows.append(("empty", f"{empty:,} of the texts; --min-length 1 leaves them out"))
    if (cut := 1.0 - generated["complete_share"]) > MUCH_CUT:
        rows.append(("cut off", f"{cut:.1%} of the texts; --max-length N lets them go on"))
    if generated["copied_share"] is not None:
        what = "names occur" if form == "color" else "texts occur in full"
        near = figures["near_copied_share"]
        nearly = "" if near is None else f", {near:.1%} are near copies"
        rows.append(
            (
                "copied",
                f"{generated['copied_share']:.1%} of the {what} in the training text{nearly}",
            )
        )
    if disclosed := figures["disclosed"]:
        copied = disclosed["copied_numbers"] + disclosed["copied_addresses"]
        if copied:
            what = f"{copied:,} long numbers and e-mail addresses of the training text"
            rows.append(("disclosed", f"{what}; --no-copied-numbers leaves them out"))
    if generated["audit"]["duplicate_share"] is not None:
        rows.append(("repeated", f"{generated['audit']['duplicate_share']:.1%} of the texts"))
    note = f": {generated['engine_note']}" if generated["engine_note"] else ""
    rows.append(("engine", f"{generated['engine']}, {generated['precision']}{note}"))
    rows.append(("look at", ", ".join(["README.md", *generated["pages"]]) + " in that folder"))
    return rows
