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

from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnlm.audit.card import write_card
from rnnlm.audit.summary import ShardAudit, conclude, merge, sample_size
from rnnlm.checksums import write_record
from rnnlm.config import GenerationConfig
from rnnlm.generation.job_folder import (
    MANIFEST_FILE,
    WORK,
    alone,
    claim,
    remove_torn,
    sweep,
)
from rnnlm.generation.manifest import About, Source, TextDataSet, describe, draw_pages, summarise
from rnnlm.generation.parts import check_all_drawn
from rnnlm.generation.plan import JobPlan, begin, plan_job
from rnnlm.generation.publishing import PublishedShard, publish_shard
from rnnlm.generation.rounds import next_round
from rnnlm.generation.selecting import count_repeated, first_ones, places_of
from rnnlm.generation.shard_sampling import Drawing, DrawnShard, draw_shards
from rnnlm.generation.stores import Store
from rnnlm.parallel import run_all
from rnnlm.progress import OnProgress, Progress, silent
from rnnlm.storage import atomic_path


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
    parts_only: bool = False,
    store: Store | None = None,
    packed: Path | None = None,
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
        parts_only: Whether to draw nothing, because `parts.draw_part` has drawn all texts.
        store: Where to upload the finished data set, which then stays in `out` as well; None to
            keep it here only.
        packed: Folder of packed models, which are loaded without torch; None to keep none.

    Raises:
        CheckpointError: The model cannot be read.
        TokenizerError: A prefix has characters that the vocabulary lacks.
        ConstraintError: No text can satisfy the constraints.
        GenerationError: `out` contains another job or other files, the filters refuse nearly all
            texts, or texts are not drawn although `parts_only` is set.
        StorageError: A file cannot be written, `out` cannot be read, or the store fails. Finished
            shards are not deleted.
    """
    asked = store.address if store else str(out)  # the manifest does not depend on the executor
    if executor is not None:  # its workers may run in other working directories
        out = out.resolve()
    plan = plan_job(checkpoint_path, config, form, source, prefixes, packed)
    if store and (finished := store.claim(plan.job)):
        return finished
    data_set = claim(out, plan.job) or _generate(
        plan, out, asked, about, on_progress, executor, parts_only=parts_only
    )
    if store:
        store.upload(out, on_progress)
        return data_set.model_copy(update={"uri": asked, "was_finished": False})
    return data_set


def _generate(
    plan: JobPlan,
    out: Path,
    asked: str,
    about: About | None,
    on_progress: OnProgress,
    executor: Executor | None,
    *,
    parts_only: bool,
) -> TextDataSet:
    """Generate a data set; the arguments are those of `generate`, and how it is named there."""
    config, form, how = plan.config, plan.form, plan.sampler.engine
    with alone(out):
        if finished := claim(out, plan.job):  # another process ran the same job meanwhile
            return finished
        drawing, reference = begin(plan, out)
        if parts_only:
            check_all_drawn(drawing)
        drawn, kept = _draw_enough(drawing, on_progress, executor)
        with atomic_path(_kept_path(drawing)) as temporary, temporary.open("wb") as file:
            np.save(file, kept)
        duplicates = count_repeated(drawn, kept)
        compared = reference.facts.digest if reference else None
        records = _publish(drawing, kept, compared, out, on_progress, executor)
        total = merge([ShardAudit.model_validate(record.pop("audit")) for record in records])
        audit = conclude(total, form, reference, duplicates)
        about = about or About(name=plan.sampler.experiment.name)
        title = f"{about.name}: {config.count:,} generated texts"
        pages = draw_pages(out, title, total, audit, reference)
        data_set = summarise(
            asked, config, how, records, total, audit, _tried(kept), pages, reference
        )
        manifest = describe(plan.job, title, data_set, records, plan.sampler, about, plan.source)
        write_card(out, manifest)
        remove_torn(out)
        write_record(out / MANIFEST_FILE, manifest)
        sweep(out)
    return data_set


def _draw_enough(
    drawing: Drawing, on_progress: OnProgress, executor: Executor | None
) -> tuple[list[DrawnShard], NDArray[np.bool_]]:
    """Draw shards until enough texts pass the filters; those already drawn are used.

    Returns:
        The drawn shards, and whether each drawn text is kept, shape (texts drawn,).

    Raises:
        GenerationError: The filters refuse nearly all texts.
    """
    shards: list[DrawnShard] = []
    latest = 0
    while True:
        more, accepted = next_round(drawing, shards, latest)
        if not more:
            return shards, first_ones(accepted, drawing.config.count)
        del accepted  # frees the memory before the next, larger array is made
        draw_shards(more, sum(shard.count for shard in shards), on_progress, executor)
        shards += more
        latest = len(more)


def _tried(kept: NDArray[np.bool_]) -> int:
    """Return the number of texts drawn up to and including the last one that is kept."""
    last = np.array([np.count_nonzero(kept) - 1])
    return int(places_of(kept, last)[0]) + 1


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
