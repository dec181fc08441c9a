"""Test that parts of a job, drawn anywhere in any order, end in the data set of one process."""

import random
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnlm.config import GenerationConfig, override
from rnnlm.errors import ConfigError, GenerationError
from rnnlm.generation.job import generate
from rnnlm.generation.manifest import Source
from rnnlm.generation.parts import Part, PartDrawn, draw_part
from rnnlm.generation.plan import plan_job
from rnnlm.progress import Progress
from tests.damage import flip_bit
from tests.generation.jobs import CONFIG, Stop, contents

MANY = override(CONFIG, {"count": 4500, "shard_size": 500})


def draw(
    model: Path, part: str, out: Path, config: GenerationConfig = MANY, **options: Any
) -> PartDrawn:
    plan = plan_job(model, config, "text", options.pop("source", None), None)
    return draw_part(Part.parse(part), plan, out, **options)


@pytest.mark.parametrize("of", [1, 2, 3, 7, 12])
def test_parts_in_any_order_end_in_the_same_bytes(model: Path, tmp_path: Path, of: int):
    whole = generate(model, MANY, tmp_path / "whole", "text")
    order = random.Random(of).sample(range(1, of + 1), of)
    drawn = [draw(model, f"{number}/{of}", tmp_path / "parts") for number in order]
    assert sum(each.texts for each in drawn) == 4500
    assert [len(each.left) for each in drawn[-2:]] == [1, 0][-len(drawn) :] or of > 9
    assert drawn[-1].left == ()
    finished = generate(model, MANY, tmp_path / "parts", "text", parts_only=True)
    assert finished.digest == whole.digest
    assert contents(tmp_path / "parts") == contents(tmp_path / "whole")
    assert finished.audit == whole.audit
    assert not (tmp_path / "parts" / ".work").exists()


def test_parts_at_the_same_time_end_in_the_same_bytes(model: Path, tmp_path: Path):
    whole = generate(model, MANY, tmp_path / "whole", "text")
    with ThreadPoolExecutor(4) as pool:
        parts = [f"{number}/4" for number in (1, 2, 3, 4)]
        list(pool.map(lambda part: draw(model, part, tmp_path / "parts"), parts))
    finished = generate(model, MANY, tmp_path / "parts", "text", parts_only=True)
    assert finished.digest == whole.digest


def test_parts_draw_further_rounds_where_filters_refuse_texts(
    model: Path, source: Source, tmp_path: Path
):
    config = override(MANY, {"unique": True, "novel_only": True, "max_length": 6, "count": 3000})
    whole = generate(model, config, tmp_path / "whole", "text", source=source)
    out, rounds = tmp_path / "parts", 0
    left: tuple[int, ...] = (1, 2, 3)
    while left:
        rounds += 1
        for number in left:
            done = draw(model, f"{number}/3", out, config, source=source)
        left = done.left
    assert rounds > 1
    finished = generate(model, config, out, "text", source=source, parts_only=True)
    assert (finished.digest, finished.drawn) == (whole.digest, whole.drawn)


def test_finishing_before_all_parts_are_drawn_names_those_that_are_missing(
    model: Path, tmp_path: Path
):
    out = tmp_path / "parts"
    with pytest.raises(GenerationError, match="4,500 texts are not drawn yet, and no part has"):
        generate(model, MANY, out, "text", parts_only=True)
    draw(model, "2/4", out)
    with pytest.raises(GenerationError, match=r"3 of 4 parts .* \(1, 3, 4\)"):
        generate(model, MANY, out, "text", parts_only=True)
    assert generate(model, MANY, out, "text").count == 4500  # draws what is missing


def test_an_interrupted_part_draws_only_what_is_missing(model: Path, tmp_path: Path):
    out, counts = tmp_path / "parts", list[int]()

    def interrupt(progress: Progress) -> None:
        if progress.done >= 700:
            raise Stop

    with pytest.raises(Stop):
        draw(model, "1/2", out, on_progress=interrupt)
    before = {path: path.stat().st_mtime_ns for path in (out / ".work/drawn").glob("*.parquet")}
    assert len(before) == 1
    assert draw(model, "1/2", out, on_progress=lambda p: counts.append(p.done)).texts == 2500
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())


def test_a_damaged_shard_of_a_part_is_drawn_again_when_finishing(model: Path, tmp_path: Path):
    whole = generate(model, MANY, tmp_path / "whole", "text")
    out = tmp_path / "parts"
    draw(model, "1/1", out)
    flip_bit(next((out / ".work/drawn").glob("*.parquet")), 0.5)
    assert generate(model, MANY, out, "text", parts_only=True).digest == whole.digest


def test_a_part_of_a_finished_job_has_nothing_to_draw(model: Path, tmp_path: Path):
    generate(model, MANY, tmp_path / "whole", "text")
    assert draw(model, "1/2", tmp_path / "whole") == PartDrawn(0, ())
    assert not (tmp_path / "whole" / ".work").exists()


def test_a_part_of_another_job_is_refused(model: Path, tmp_path: Path):
    draw(model, "1/2", tmp_path / "parts")
    with pytest.raises(GenerationError, match="belongs to another job"):
        draw(model, "1/2", tmp_path / "parts", override(MANY, {"seed": 7}))


@given(st.text("0123456789/ -x½", max_size=8))
def test_only_parts_among_their_number_are_accepted(text: str):
    numbers = [int(number) for number in re.findall(r"[0-9]+", text)]
    is_part = re.fullmatch(r"[0-9]+/[0-9]+", text) is not None
    if is_part and 1 <= numbers[0] <= numbers[1] <= 100_000:
        part = Part.parse(text)
        assert [part.number, part.of] == numbers
    else:
        with pytest.raises(ConfigError, match="I/N"):
            Part.parse(text)
