"""Check a generation job and describe it, before any text is drawn."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rnnlm.audit.reference import Reference
from rnnlm.checksums import write_record
from rnnlm.config import COMPARING, GenerationConfig, override
from rnnlm.corpora.documents import attribute_values
from rnnlm.engine.loading import digest_of_checkpoint, load_sampler
from rnnlm.engine.opening import Sampler
from rnnlm.errors import GenerationError
from rnnlm.generation.job_folder import JOB_FILE, WORK
from rnnlm.generation.manifest import Source
from rnnlm.generation.prompt import Opening, constraint, open_texts, prefixes_of
from rnnlm.generation.references import reference_for
from rnnlm.generation.shard_sampling import Drawing
from rnnlm.header import Describing
from rnnlm.storage import file_digest, value_digest, write_bytes
from rnnlm.tokenizer import check_known

NOVELTY_RULES = 2
"""Raise this when `novel_only` begins to refuse other texts, so that unfinished jobs draw their
texts again."""
_LATER = {"known_words_only": False, "best_of": 1, "no_copied_numbers": False}
"""Settings that jobs of earlier versions did not have, with their defaults."""


@dataclass(frozen=True)
class JobPlan:
    """A job that has been checked.

    Attributes:
        checkpoint: Absolute path of the model.
        packed: Folder of packed models; see `rnnlm.engine.loading`. None to keep none.
        sampler: The model.
        config: Settings of the job; `precision` is no longer `auto`.
        form: What a text should be; see `CorpusConfig.form`.
        source: The corpus to compare texts with, with absolute paths; None for none.
        prefixes: Absolute path of a text file with one prefix per line; None for none.
        job: What identifies the job, as it is written to `job.json`.
    """

    checkpoint: Path
    packed: Path | None
    sampler: Sampler
    config: GenerationConfig
    form: str
    source: Source | None
    prefixes: Path | None
    job: dict[str, Any]


def plan_job(
    checkpoint_path: Path,
    config: GenerationConfig,
    form: str,
    source: Source | None,
    prefixes: Path | None,
    packed: Path | None = None,
) -> JobPlan:
    """Load the model of a job and check that the job is possible; only its packed form is written.

    The arguments and the errors are those of `job.generate`.
    """
    checkpoint_path, source = checkpoint_path.resolve(), source and source.resolved()
    prefixes = prefixes and prefixes.resolve()
    packed = packed and packed.resolve()
    digest = digest_of_checkpoint(checkpoint_path)
    sampler = load_sampler(checkpoint_path, packed, digest, config.precision, gpu=True)
    config = override(config, {"precision": sampler.precision})
    check(sampler, config, prefixes, source)
    job = {
        "checkpoint": digest,
        "generation": _identity(config),
        "form": form,
        "prefixes": file_digest(prefixes) if prefixes else None,
        "corpus": source.digest if source and config.compares else None,
    }
    return JobPlan(checkpoint_path, packed, sampler, config, form, source, prefixes, job)


def begin(plan: JobPlan, out: Path) -> tuple[Drawing, Reference | None]:
    """Write what the job is into its folder; return what its shards share, and the reference.

    The reference is the index of training text that texts are compared with. It is built in the
    corpus's folder unless an earlier job has done so.
    """
    write_record(out / JOB_FILE, plan.job)
    reference = reference_for(plan.source, plan.form, plan.sampler) if plan.source else None
    drawing = Drawing(
        job=value_digest([plan.job, NOVELTY_RULES] if plan.config.novel_only else plan.job),
        checkpoint=plan.checkpoint,
        digest=plan.job["checkpoint"],
        packed=plan.packed,
        device=plan.sampler.device,
        config=plan.config,
        form=plan.form,
        prefixes=_copied(plan.prefixes, out / WORK / "prefixes.txt"),
        reference=reference.folder if reference else None,
        out=out / WORK / "drawn",
    )
    return drawing, reference


def _identity(config: GenerationConfig) -> dict[str, Any]:
    """Return the settings that determine the texts of a data set.

    Settings that earlier versions did not have are left out if they have their defaults, so that
    this version can finish the jobs of earlier ones.
    """
    unused = {name for name, value in _LATER.items() if getattr(config, name) == value}
    return config.model_dump(mode="json", exclude={"batch_size"} | unused)


def check(
    model: Describing,
    config: GenerationConfig,
    prefixes: Path | None,
    source: Source | None,
) -> None:
    """Check that a job is possible, before any file is written and any text is drawn.

    Raises:
        TokenizerError: A prefix has characters that the vocabulary lacks.
        ConstraintError: No text can satisfy the constraints.
        GenerationError: The model was not trained with a given attribute or value, or a filter
            needs a training text that is not available.
    """
    opening = open_texts(model.experiment, config)
    if config.prefix and prefixes:
        raise GenerationError(
            f"both a prefix, {config.prefix!r}, and a file of prefixes, {prefixes}, are given "
            "(expected at most one of them); leave one of them out"
        )
    if source is not None:
        _check_given(config, opening, source)
    given = prefixes_of(config, prefixes)
    for prefix in given:
        check_known(model.tokenizer, prefix, f"the prefix {prefix[:40]!r}")
    check_known(model.tokenizer, opening.header, f"the header {opening.header!r}")
    constraint(model.tokenizer, config, opening, opening.before(given))
    if config.compares and source is None:
        rule = next(rule for rule in COMPARING if getattr(config, rule))
        raise GenerationError(
            f"{rule} needs the training text to compare with, and it is not available here; "
            "run `rnnlm train` again, or leave the setting out"
        )


def _check_given(config: GenerationConfig, opening: Opening, source: Source) -> None:
    """Raise a `GenerationError` for a given attribute value that no training text has."""
    for name in opening.condition:
        if name not in config.given:
            continue
        known = attribute_values(source.uri, name)
        value = " ".join(config.given[name].split())
        if value and value not in known:
            some = ", ".join(sorted(known)[:12]) + (", …" if len(known) > 12 else "")
            raise GenerationError(
                f"no training text has {name} = {value!r} (known values: {some}); choose one of "
                "them"
            )


def _copied(prefixes: Path | None, to: Path) -> Path | None:
    """Copy the file of prefixes, so that it cannot change while the job runs."""
    if prefixes is None:
        return None
    write_bytes(to, prefixes.read_bytes())
    return to
