"""Write the data set card: a README.md with a description of the data set and its audit.

Its metadata are read by the Hugging Face hub and by the library `datasets`.

Source of the layout: https://huggingface.co/docs/hub/datasets-cards
"""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from rnnlm.audit.markdown import table
from rnnlm.audit.measures import measures
from rnnlm.audit.novelty import RUN
from rnnlm.audit.reference import SAMPLE_CHARACTERS
from rnnlm.audit.remembered import remembered
from rnnlm.audit.suffixes import MOST_BYTES
from rnnlm.audit.summary import Audit
from rnnlm.canaries import ExposureRow
from rnnlm.config import GenerationConfig
from rnnlm.storage import write_bytes
from rnnlm.visible import visible

CARD_FILE = "README.md"
EXAMPLES = 10
EXAMPLE_CHARACTERS = 1200
"""Most example texts on the card, and most characters shown of each."""

UNESCAPE = """import re

ends = {"n": "\\n", "r": "\\r"}
text = re.sub(r"\\\\(.)", lambda found: ends.get(found[1], found[1]), line)"""
"""Python code for the card's readers that turns a line of a plain text file back into a text. It
reverses `rnnlm.generation.publishing.escaped`."""

_SIZES = (
    (10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"),
    (10**7, "1M<n<10M"), (10**8, "10M<n<100M"), (10**9, "100M<n<1B"), (10**10, "1B<n<10B"),
    (10**11, "10B<n<100B"), (10**12, "100B<n<1T"),
)  # fmt: skip
"""The size categories of the Hugging Face hub: data sets with fewer rows than the number are in the
category, unless they are in an earlier one."""


class Origin(BaseModel):
    """A model or a corpus that a data set comes from.

    Attributes:
        name: Name of the model or corpus.
        digest: sha256 of its file or documents.
        version: Version in the model registry; None if it is not registered.
        description: A few words on a model, such as `lstm 2×256`; may be empty.
        license: Licence of a corpus, in words; empty if unknown.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    digest: str
    version: str | None = None
    description: str = ""
    license: str = ""


class Shard(BaseModel):
    """The parts of a shard's record that a card is written from; other keys are ignored.

    Attributes:
        escaped: Number of texts with escaped line ends or backslashes. It is 0 for formats other
            than plain text, which do not have one text per line.
    """

    model_config = ConfigDict(frozen=True)

    escaped: int = 0


class Manifest(BaseModel):
    """The parts of a manifest that a card is written from; other keys are ignored.

    Attributes:
        name: Title of the data set.
        form: What a text should be; see `CorpusConfig.form`.
        files: Names of the shards, in order.
        columns: Name and one-line description of each column; empty for plain text.
        generation: Settings of the job: the number of texts, sampling, and the file format.
        model: The model that generated the texts, with the digest of its checkpoint.
        corpus: The corpus that the model was trained on.
        engine: Name of the engine that ran the model.
        precision: Precision of the engine's numbers, such as `int8`.
        versions: Versions of the software, by name.
        command: Command line that reproduces the data set.
        examples: Some texts.
        audit: Audit of the texts; None if they were not audited.
        license: Licence of the data set, as an identifier of the Hugging Face hub.
        language: ISO 639-1 codes of the texts' languages; empty if unknown.
        pages: Caption of each picture and HTML page in the card's folder, by file name.
        canaries: What the model remembers of its canaries; empty if it was trained without.
        prefixes: Whether the texts begin with the lines of a file of prefixes.
        shards: The shards, in order; empty if nothing is known about them.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    form: str
    files: tuple[str, ...]
    columns: dict[str, str]
    generation: GenerationConfig
    model: Origin
    corpus: Origin
    engine: str
    precision: str
    versions: dict[str, str]
    command: str
    examples: tuple[str, ...]
    audit: Audit | None = None
    license: str = "unknown"
    language: tuple[str, ...] = ()
    pages: dict[str, str] = {}
    canaries: tuple[ExposureRow, ...] = ()
    prefixes: bool = False
    shards: tuple[Shard, ...] = ()


def write_card(out: Path, manifest: Mapping[str, Any]) -> Path:
    """Write `out/README.md` from a data set's manifest; return its path.

    Args:
        out: The data set's folder.
        manifest: The data set's manifest as a dictionary; it must have the keys of `Manifest`.

    Raises:
        ValidationError: A key is missing or of the wrong type.
        StorageError: The card cannot be written.
    """
    known = Manifest.model_validate(manifest)
    import yaml

    header = yaml.safe_dump(front_matter(known), sort_keys=False, allow_unicode=True, width=100)
    parts = [
        f"---\n{header}---\n\n# {known.name}",
        _introduction(known),
        _licence(known),
        _pictures(known),
        _origin(known),
        _columns(known),
        _lines(known),
        _audit(known),
        _remembered(known),
        _examples(known),
        _limits(known),
        f"## Reproduce\n\n```sh\n{known.command}\n```\n\nOn the same processor and with the same "
        "versions, text number n of a seed is always the same, whatever the number of texts.",
    ]
    path = out / CARD_FILE
    page = visible("\n\n".join(part for part in parts if part) + "\n")
    write_bytes(path, page.encode())
    return path


def front_matter(manifest: Manifest) -> dict[str, Any]:
    """Return the card's metadata in the hub's format."""
    count = manifest.generation.count
    size = next((name for bound, name in _SIZES if count < bound), "n>1T")
    return {
        "pretty_name": manifest.name,
        "license": manifest.license,
        **({"language": [*manifest.language]} if manifest.language else {}),
        "task_categories": ["text-generation"],
        "size_categories": [size],
        "tags": ["synthetic", "rnnlm", *([manifest.form] if manifest.form != "text" else [])],
        "configs": [
            {
                "config_name": "default",
                "data_files": [{"split": "train", "path": _pattern(manifest.files)}],
            }
        ],
    }


def _pattern(files: Sequence[str]) -> str | list[str]:
    """Return the shards' names, or a pattern such as `train-*.parquet` for more than three."""
    if len(files) <= 3:
        return [*files]
    first, _, rest = files[0].rpartition("-")
    return f"{first}-*.{rest.split('.', 1)[1]}"


def _introduction(manifest: Manifest) -> str:
    what = {
        "color": "colours, each with a name and its red, green and blue values",
        "recipe": "recipes in the MealMaster format",
        "prose": "passages of prose",
    }.get(manifest.form, "texts")
    kind = manifest.generation.format
    loader = {"parquet": "parquet", "jsonl": "json", "txt": "text"}[kind]
    shards = "one shard" if len(manifest.files) == 1 else f"{len(manifest.files):,} shards"
    return (
        f"{manifest.generation.count:,} {what}, sampled from the recurrent language model "
        f"*{manifest.model.name}*, which was trained on *{manifest.corpus.name}*. The texts are "
        "machine-generated; nothing in them should be taken as fact. "
        f"{shards[0].upper()}{shards[1:]} in the format {kind}.\n\n"
        "```python\nfrom datasets import load_dataset\n\n"
        'texts = load_dataset("path/to/this/folder", split="train")\n'
        f'# or, by format: load_dataset("{loader}", data_dir="path/to/this/folder", split="train")'
        f"{_pandas(kind)}\n```"
    )


def _licence(manifest: Manifest) -> str:
    own = "not chosen yet" if manifest.license == "unknown" else manifest.license
    corpus = manifest.corpus.license or "not stated"
    rights = "" if corpus.startswith("CC0") else "; rights in it may extend to these texts"
    return f"**Licence**: {own}. Licence of the corpus *{manifest.corpus.name}*: {corpus}{rights}."


def without_front_matter(card: str) -> str:
    """Return a card's text without its metadata, for viewers that would show them as text."""
    return re.sub(r"\A---\n.*?\n---\n+", "", card, flags=re.DOTALL)


def _pandas(kind: str) -> str:
    if kind != "parquet":
        return ""
    return '\n\nimport pandas\n\nframe = pandas.read_parquet("path/to/this/folder/data")'


def _pictures(manifest: Manifest) -> str:
    shown = [f"![{what}]({name})" for name, what in manifest.pages.items() if name.endswith(".png")]
    pages = [f"[{what}]({name})" for name, what in manifest.pages.items() if name.endswith(".html")]
    return "\n\n".join([*shown, *([f"See also: {', '.join(pages)}."] if pages else [])])


def _origin(manifest: Manifest) -> str:
    config, model = manifest.generation, manifest.model
    version = "" if model.version is None else f", version {model.version}"
    described = f", {model.description}" if model.description else ""
    cuts = [f"temperature {config.temperature:g}"]
    cuts += [f"top-k {config.top_k}"] if config.top_k else []
    cuts += [f"top-p {config.top_p:g}"] if config.top_p < 1.0 else []
    cuts += [f"min-p {config.min_p:g}"] if config.min_p else []
    penalty = config.repetition_penalty
    cuts += [f"repetition penalty {penalty:g}"] if penalty != 1.0 else []
    rows = [
        ("model", f"{model.name}{version}{described}"),
        ("model, sha256", f"`{model.digest}`"),
        ("corpus", manifest.corpus.name),
        ("corpus, sha256", f"`{manifest.corpus.digest}`"),
        ("sampling", ", ".join(cuts)),
        ("seed", str(config.seed)),
        ("texts begin with", _begin(manifest)),
        ("length", f"{config.min_length:,} to {config.max_length:,} tokens"),
        *_rules(config),
        ("engine", f"{manifest.engine}, {manifest.precision}"),
        ("versions", ", ".join(f"{name} {version}" for name, version in manifest.versions.items())),
    ]
    return f"## How the texts were generated\n\n{table(('', ''), rows)}"


def _begin(manifest: Manifest) -> str:
    config = manifest.generation
    given = [f"{name} = `{value}`" for name, value in config.given.items()]
    if manifest.prefixes:
        given.append("one line each of a file of prefixes")
    elif config.prefix:
        given.append(f"`{config.prefix}`")
    return ", ".join(given) or "no prefix"


def _rules(config: GenerationConfig) -> list[tuple[str, str]]:
    """Return rows of a table: a name and a description of each constraint, and of the filters."""
    rows = [("grammar", f"`{config.grammar}`")] if config.grammar else []
    rows += [
        (name, ", ".join(f"`{text}`" for text in strings))
        for name in ("banned", "required", "stop")
        if (strings := getattr(config, name))
    ]
    kept = {
        "unique": "no duplicates",
        "novel_only": "no copies of training texts, nor of their numbers and addresses",
        "no_copied_numbers": "no long numbers or e-mail addresses of the training text",
    }
    kept |= {"valid_only": "only valid texts", "known_words_only": "only texts of existing words"}
    rules = [what for name, what in kept.items() if getattr(config, name)]
    if config.best_of > 1:
        rows.append(("best of", f"{config.best_of}, by likelihood per character"))
    return rows + ([("filters", ", ".join(rules))] if rules else [])


def _columns(manifest: Manifest) -> str:
    if not manifest.columns:
        return ""
    rows = [(f"`{name}`", what) for name, what in manifest.columns.items()]
    return f"## Columns\n\n{table(('column', 'what it holds'), rows)}"


def _lines(manifest: Manifest) -> str:
    """Return a section on reading escaped texts; empty if no text is escaped."""
    count = sum(shard.escaped for shard in manifest.shards)
    if not count:
        return ""
    return (
        f"## Lines\n\nEach text is one line. In {count:,} of them a line end is written as `\\n` "
        "(a carriage return as `\\r`) and a backslash as `\\\\`. This code restores the text of a "
        f"line:\n\n```python\n{UNESCAPE}\n```"
    )


def _searched(audit: Audit) -> str:
    """Return the words that say how much of a long training text was searched for runs."""
    if audit.searched_bytes < MOST_BYTES:
        return ""
    return f", of which the first {audit.searched_bytes:,} bytes were searched for runs"


def _audit(manifest: Manifest) -> str:
    audit = manifest.audit
    if audit is None:
        return "## Audit\n\nThe texts were not compared with the training text."
    real, shown = audit.held_out, [m for m in measures(audit) if m.read(audit.generated)]
    rows = [(m.name, m.read(audit.generated), m.read(real) if real else "", m.of) for m in shown]
    lines = [
        f"- **{m.name}**: {m.definition}" + (f" *({m.source})*" if m.source else "") for m in shown
    ]
    if audit.duplicate_share is not None:
        rows.insert(1, ("duplicates", f"{audit.duplicate_share:.2%}", "", "all texts"))
        lines.insert(1, "- **duplicates**: Texts that equal an earlier text of the data set.")
    beside = (
        f" The column *real* has the same figures for {real.texts:,} real texts that the model was "
        "not trained on: the closer the two columns, the more alike the texts. The training split "
        f"has {audit.training_texts:,} texts{_searched(audit)}."
        if real
        else " The training text was not available, so nothing was compared with it."
    )
    some = audit.generated.sampled_texts < audit.generated.texts
    sampled = f"; figures of a sample are of {audit.generated.sampled_texts:,} of them" * some
    return (
        f"## Audit\n\nThe data set has {audit.generated.texts:,} texts{sampled}.{beside}\n\n"
        f"{table(('', 'generated', 'real', 'of'), rows)}\n\n" + "\n".join(lines)
    )


def _remembered(manifest: Manifest) -> str:
    audit = manifest.audit
    if audit is None or audit.generated.disclosed is None:
        return ""
    has_base = audit.generated.base_share is not None
    return remembered(audit.generated.disclosed, manifest.canaries, has_base)


def _examples(manifest: Manifest) -> str:
    shown = [text[:EXAMPLE_CHARACTERS] for text in manifest.examples[:EXAMPLES]]
    parts = []
    if shown and all("\n" not in text for text in shown):
        parts.append(_fenced("\n".join(shown)))
    else:
        parts += [_fenced(text) for text in shown]
    for what, texts in _shown_failures(manifest.audit):
        parts.append(f"{what}:\n\n" + _fenced("\n".join(json.dumps(t[:200], ensure_ascii=False)
                                                         for t in texts)))  # fmt: skip
    return "## Examples\n\n" + "\n\n".join(parts) if parts else ""


def _shown_failures(audit: Audit | None) -> list[tuple[str, tuple[str, ...]]]:
    if audit is None:
        return []
    failures = [
        ("The first texts that are not valid", audit.invalid_examples),
        ("The first texts that are copies", tuple(dict.fromkeys(audit.copied_examples))),
    ]
    return [(what, texts) for what, texts in failures if texts]


def _limits(manifest: Manifest) -> str:
    lines = [
        "What the texts say may be false, and they can repeat names, numbers, passages and "
        "offensive content of the training text.",
    ]
    if manifest.audit is not None:
        lines += [
            "Copies, numbers, addresses and names are found by exact comparison and near copies by "
            "an estimate; paraphrases, and numbers written in another way, are not found.",
            f"Runs of fewer than {RUN} characters mean little; only the first "
            f"{SAMPLE_CHARACTERS:,} characters of each sampled text were examined.",
            "If generated and real texts differ in length, that alone makes their longest runs "
            "differ.",
        ]
    return "## Limits\n\n" + "\n".join(f"- {line}" for line in lines)


def _fenced(text: str) -> str:
    """Return a text in a code block whose fence is longer than any backticks in the text."""
    longest = max((len(run) for run in text.split("\n") if set(run.strip()) == {"`"}), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{text}\n{fence}"
