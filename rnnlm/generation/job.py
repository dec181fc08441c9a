"""A job generates a given number of texts from one model into one folder, each exactly once.

The folder contains these files:

    job.json                  settings of the job; a job with other settings may not use the folder
    .work/                    drawn shards, records, and the list of texts that are kept; exists
                              until the job is done
    data/train-00000.parquet  the data set, in shards that are written atomically
    README.md                 the data set card, with the audit; pages and pictures are next to it
    manifest.json             the job, the shards with their digests, and the totals; written last

Texts are numbered, and drawn (sampled) in shards of consecutive numbers by any number of workers.
Filters (for unique, novel or valid texts, for example) refuse some of them; then more texts are
drawn, until enough are kept. Which texts are kept does not depend on the order in which the workers
finish. A folder without a manifest is unfinished; the same call finishes it.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnlm import checkpoint
from rnnlm.audit.card import write_card
from rnnlm.audit.summary import ShardAudit, conclude, merge, sample_size
from rnnlm.checkpoint import LoadedModel
from rnnlm.checksums import write_record
from rnnlm.config import COMPARING, GenerationConfig, override
from rnnlm.corpora.documents import attribute_values
from rnnlm.devices import choose_device
from rnnlm.engine import running
from rnnlm.errors import GenerationError
from rnnlm.generation.accepting import more_to_draw
from rnnlm.generation.job_folder import (
    JOB_FILE,
    MANIFEST_FILE,
    WORK,
    alone,
    claim,
    remove_torn,
    sweep,
)
from rnnlm.generation.manifest import About, Source, TextDataSet, describe, draw_pages, summarise
from rnnlm.generation.prompt import Opening, constraint, open_texts, prefixes_of
from rnnlm.generation.publishing import PublishedShard, publish_shard
from rnnlm.generation.references import reference_for
from rnnlm.generation.selecting import accepted_texts, count_repeated, first_ones, places_of
from rnnlm.generation.shard_sampling import Drawing, DrawnShard, draw_shard
from rnnlm.parallel import run_all
from rnnlm.progress import OnProgress, Progress, silent
from rnnlm.storage import (
    atomic_path,
    file_digest,
    value_digest,
    write_bytes,
)
from rnnlm.tokenizer import check_known

NOVELTY_RULES = 2
"""Raise this when `novel_only` begins to refuse other texts, so that unfinished jobs draw their
texts again."""
_LATER = {"known_words_only": False, "best_of": 1, "no_copied_numbers": False}
"""Settings that jobs of earlier versions did not have, with their defaults."""


def generate(
    checkpoint_path: Path,
    config: GenerationConfig,
    out: Path,
    form: str,
    *,
    source: Source | None = None,
    prefixes: Path | None = None,
    about: About | None = None,
    on_progress: OnProgress = silent,
    executor: Executor | None = None,
) -> TextDataSet:
    """Generate a data set into `out`, or finish the one that an earlier call left unfinished.

    Args:
        checkpoint_path: The model.
        config: Settings: the number of texts, sampling, constraints, filters and file format.
        out: Folder for this job only; created if needed.
        form: What a text should be; see `CorpusConfig.form`.
        source: The corpus to compare the texts with; may be None unless a filter needs it.
        prefixes: A text file with one prefix per line; text n begins with line n. After the last
            line, the first one follows again.
        about: Facts about the model and the command, for the data set card.
        on_progress: Called with the number of texts drawn, then with the number of shards written.
        executor: Runs the work on the shards in parallel; None to run it here, one shard after the
            other. The result does not depend on it.

    Raises:
        CheckpointError: The model cannot be read.
        TokenizerError: A prefix has characters that the vocabulary lacks.
        ConstraintError: No text can satisfy the constraints.
        GenerationError: `out` contains another job or other files, or the filters refuse nearly
            all texts.
        StorageError: A file cannot be written, or `out` cannot be read. Finished shards are not
            deleted.
    """
    asked = str(out)  # what is written does not depend on the executor
    if executor is not None:  # its workers may run in other working directories
        checkpoint_path, out = checkpoint_path.resolve(), out.resolve()
        prefixes, source = prefixes and prefixes.resolve(), source and source.resolved()
    loaded = checkpoint.load(checkpoint_path, choose_device())
    how = running.choose_engine(loaded.model, running.resolve(config.precision, loaded.facts))
    config = override(config, {"precision": how.precision})
    check(loaded, config, prefixes, source)
    digest = file_digest(checkpoint_path)
    job = {
        "checkpoint": digest,
        "generation": _identity(config),
        "form": form,
        "prefixes": file_digest(prefixes) if prefixes else None,
        "corpus": source.digest if source and config.compares else None,
    }
    if finished := claim(out, job):
        return finished
    with alone(out):
        if finished := claim(out, job):  # another process ran the same job meanwhile
            return finished
        write_record(out / JOB_FILE, job)
        reference = reference_for(source, form, loaded) if source else None
        drawing = Drawing(
            job=value_digest([job, NOVELTY_RULES] if config.novel_only else job),
            checkpoint=checkpoint_path,
            digest=digest,
            device=loaded.model.device.type,
            config=config,
            form=form,
            prefixes=_copied(prefixes, out / WORK / "prefixes.txt"),
            reference=reference.folder if reference else None,
            out=out / WORK / "drawn",
        )
        drawn, kept = _draw_enough(drawing, on_progress, executor)
        duplicates = count_repeated(drawn, kept)
        compared = reference.facts.digest if reference else None
        records = _publish(drawing, kept, compared, out, on_progress, executor)
        total = merge([ShardAudit.model_validate(record.pop("audit")) for record in records])
        audit = conclude(total, form, reference, duplicates)
        about = about or About(name=loaded.experiment.name)
        title = f"{about.name}: {config.count:,} generated texts"
        pages = draw_pages(out, title, total, audit, reference)
        data_set = summarise(
            asked, config, how, records, total, audit, _tried(kept), pages, reference
        )
        manifest = describe(job, title, data_set, records, loaded, how, about, source)
        write_card(out, manifest)
        remove_torn(out)
        write_record(out / MANIFEST_FILE, manifest)
        sweep(out)
    return data_set


def _identity(config: GenerationConfig) -> dict[str, Any]:
    """Return the settings that determine the texts of a data set.

    Settings that earlier versions did not have are left out if they have their defaults, so that
    this version can finish the jobs of earlier ones.
    """
    unused = {name for name, value in _LATER.items() if getattr(config, name) == value}
    return config.model_dump(mode="json", exclude={"batch_size"} | unused)


def check(
    loaded: LoadedModel, config: GenerationConfig, prefixes: Path | None, source: Source | None
) -> None:
    """Check that a job is possible, before any file is written and any text is drawn.

    Raises:
        TokenizerError: A prefix has characters that the vocabulary lacks.
        ConstraintError: No text can satisfy the constraints.
        GenerationError: The model was not trained with a given attribute or value, or a filter
            needs a training text that is not available.
    """
    opening = open_texts(loaded.experiment, config)
    if config.prefix and prefixes:
        raise GenerationError(
            f"both a prefix, {config.prefix!r}, and a file of prefixes, {prefixes}, are given "
            "(expected at most one of them); leave one of them out"
        )
    if source is not None:
        _check_given(config, opening, source)
    given = prefixes_of(config, prefixes)
    for prefix in given:
        check_known(loaded.tokenizer, prefix, f"the prefix {prefix[:40]!r}")
    check_known(loaded.tokenizer, opening.header, f"the header {opening.header!r}")
    constraint(loaded.tokenizer, config, opening, opening.before(given))
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


def _draw_enough(
    drawing: Drawing, on_progress: OnProgress, executor: Executor | None
) -> tuple[list[DrawnShard], NDArray[np.bool_]]:
    """Draw shards until enough texts pass the filters.

    Returns:
        The drawn shards, and whether each drawn text is kept, shape (texts drawn,).
    """
    config = drawing.config
    size, wanted = drawing.size, config.count
    rules = (config.unique, config.compares, config.valid_only, config.required)
    has_rules = any(rules) or config.best_of > 1
    shards: list[DrawnShard] = []
    aim = wanted * config.best_of
    while True:
        drawn = sum(shard.count for shard in shards)
        more = [*_shards(drawing, len(shards), aim, whole=has_rules)]
        _draw(more, drawn, on_progress, executor)
        shards += more
        accepted = accepted_texts(shards, config.unique)
        have = int(np.count_nonzero(accepted))
        if have >= wanted:
            kept = first_ones(accepted, wanted)
            with atomic_path(_kept_path(drawing)) as temporary, temporary.open("wb") as file:
                np.save(file, kept)
            return shards, kept
        aim = len(accepted) + max(size, more_to_draw(accepted, len(accepted) - drawn, wanted))
        del accepted  # frees the memory before the next, larger array is made


def _tried(kept: NDArray[np.bool_]) -> int:
    """Return the number of texts drawn up to and including the last one that is kept."""
    last = np.array([np.count_nonzero(kept) - 1])
    return int(places_of(kept, last)[0]) + 1


def _shards(drawing: Drawing, begin: int, aim: int, *, whole: bool) -> Iterator[DrawnShard]:
    """Yield the shards from number `begin` on, until all shards together have `aim` texts.

    With `whole`, the last shard is full even if the shards then have more than `aim` texts.
    """
    size = drawing.size
    for number in range(begin, -(-aim // size)):
        first = number * size
        yield DrawnShard(drawing, number, first, size if whole else min(size, aim - first))


def _draw(
    shards: Sequence[DrawnShard], before: int, on_progress: OnProgress, executor: Executor | None
) -> None:
    total = before + sum(shard.count for shard in shards)
    done = before

    def tell(within: int) -> None:
        on_progress(Progress(done + within, total, "texts"))

    draw = partial(draw_shard, on_count=tell) if executor is None else draw_shard
    for number, _ in run_all(executor, draw, shards):
        done += shards[number].count
        tell(0)


def _publish(
    drawing: Drawing,
    kept: NDArray[np.bool_],
    compared: str | None,
    out: Path,
    on_progress: OnProgress,
    executor: Executor | None,
) -> list[dict[str, Any]]:
    """Write the kept texts as the shards of the data set; return the shards' records, in order."""
    config = drawing.config
    count = -(-config.count // config.shard_size)
    firsts = places_of(kept, np.arange(0, config.count, config.shard_size))
    bounds = [*firsts.tolist(), len(kept)]
    sampled = sample_size(config.count, count)
    shards = (
        PublishedShard(
            drawing=drawing,
            kept=_kept_path(drawing),
            number=number,
            start=bounds[number],
            stop=bounds[number + 1],
            sampled=sampled,
            compared=compared,
            out=out,
            records=out / WORK / "published",
        )
        for number in range(count)
    )
    records: dict[int, dict[str, Any]] = {}
    for number, record in run_all(executor, publish_shard, shards):
        records[number] = record
        on_progress(Progress(len(records), count, "shards written"))
    return [records[number] for number in range(count)]


def _kept_path(drawing: Drawing) -> Path:
    return drawing.out.parent / "kept.npy"
