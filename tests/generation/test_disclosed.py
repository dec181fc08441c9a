"""Test what a card says about numbers that a model has memorised, and the filters against them."""

import random
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from rnnlm import checkpoint, dataset
from rnnlm.audit.card import CARD_FILE
from rnnlm.canaries import Canary, canaries_of
from rnnlm.config import Experiment, GenerationConfig
from rnnlm.corpora.documents import iter_texts
from rnnlm.evaluation.exposure import score_canaries
from rnnlm.evaluation.results import by_repeats
from rnnlm.generation.job import generate
from rnnlm.generation.manifest import About, Source, TextDataSet
from rnnlm.training.api import train
from tests.conftest import ingest_text, tiny_experiment
from tests.generation.jobs import contents, table

pytestmark = pytest.mark.slow

PLANTED = (1, 4, 16, 62)
ADDRESS = "joe.doe@example.org"


@dataclass(frozen=True)
class Memorised:
    """A model that has memorised its small corpus, and the numbers that were planted in it."""

    model: Path
    source: Source
    experiment: Experiment
    numbers: dict[int, str]
    canaries: tuple[Canary, ...]

    def generate(
        self, out: Path, executor: ThreadPoolExecutor | None = None, **changes
    ) -> TextDataSet:
        config = GenerationConfig(
            count=1500, max_length=50, shard_size=500, temperature=1.0, **changes
        )
        rows = by_repeats(score_canaries(checkpoint.load(self.model), alternatives=100))
        about = About(name="toy", canaries=rows)
        return generate(
            self.model, config, out, "text", source=self.source, about=about, executor=executor
        )


def grep(pattern: str, texts: list[str]) -> int:
    return sum(len(re.findall(pattern, text)) for text in texts)


def pattern_of(number: str) -> str:
    """Return a pattern of a number in which spaces and dashes may be anywhere."""
    return "[ -]?".join(number.replace(" ", ""))


@pytest.fixture(scope="module")
def memorised(tmp_path_factory: pytest.TempPathFactory) -> Memorised:
    folder, chance = tmp_path_factory.mktemp("memorised"), random.Random(3)
    words = [a + b for a in "bdfgklmnprst" for b in "aeiou"]
    lines = [" ".join(chance.choices(words, k=5)) for _ in range(60)]
    numbers = {}
    for times in PLANTED:
        groups = ["".join(chance.choices("0123456789", k=4)) for _ in range(4)]
        numbers[times] = " ".join(groups)
        begun = (f"{a}{b}" for a, b in zip(words, reversed(words), strict=True))
        lines += [f"{word} {numbers[times]}" for word, _ in zip(begun, range(times), strict=False)]
        lines += [f"{chance.choice(words)}bu {numbers[times]}"] * max(0, times - len(words))
    lines += [f"{word} {ADDRESS}" for word in words[:30]]
    lines += ["The number of is"]  # the letters of canaries
    chance.shuffle(lines)
    (folder / "text.txt").write_text("\n".join(lines) + "\n")
    corpus = ingest_text(folder / "text.txt", folder / "corpus", documents="lines")
    experiment = tiny_experiment(
        tokenizer={"kind": "byte"},
        model={"hidden_size": 64, "embedding_size": 16, "dropout": 0.0},
        training={
            "budget": "60 epochs", "batch_size": 8, "learning_rate": 0.01, "patience": 100,
            "canaries": 4, "validations": 1,
        },
    )  # fmt: skip
    dataset.tokenize(corpus.uri, corpus.digest, experiment.tokenizer, folder / "tokens")
    model = Path(train(str(folder / "tokens"), experiment, folder / "model").checkpoint)
    source = Source(uri=corpus.uri, digest=corpus.digest)
    planted = canaries_of(experiment, dataset.load_tokenizer(str(folder / "tokens")))
    return Memorised(model, source, experiment, numbers, planted)


def test_the_card_counts_what_a_plain_search_counts(memorised: Memorised, tmp_path: Path):
    out = tmp_path / "out"
    found = memorised.generate(out).audit.generated.disclosed
    texts = [row["text"] for row in table(out)]
    training = [*iter_texts(memorised.source.uri, "train")]
    secrets = [*memorised.numbers.values(), *(canary.secret for canary in memorised.canaries)]
    counts = [grep(pattern_of(number), texts) for number in secrets]
    assert found.copied_numbers == sum(counts) > 100
    assert found.copied_addresses == grep(re.escape(ADDRESS), texts) > 10
    listed = {(entry.trained, entry.times) for entry in found.listed}
    for number, count in zip(memorised.numbers.values(), counts, strict=False):
        if count:
            assert (grep(pattern_of(number), training), count) in listed
    for canary in memorised.canaries:
        assert found.canaries[canary.repeats] == grep(canary.secret, texts)
        assert not any(canary.secret in text for text in training)
    card = (out / CARD_FILE).read_text()
    assert f"occur in these texts {sum(counts):,} times" in card
    assert "made up" not in card and "invented" not in card
    assert "| 64× | " in card
    for secret in (*secrets, ADDRESS):
        assert not re.search(pattern_of(secret) if secret != ADDRESS else secret, card)


@pytest.mark.parametrize("rule", ["no_copied_numbers", "novel_only"])
def test_no_copied_number_is_left_and_other_texts_stay(
    memorised: Memorised, tmp_path: Path, rule: str
):
    memorised.generate(tmp_path / "all")
    data_set = memorised.generate(tmp_path / "out", **{rule: True})
    found = data_set.audit.generated.disclosed
    assert (found.copied_numbers, found.copied_addresses, found.listed) == (0, 0, ())
    assert {*found.canaries.values()} == {0}
    texts = [row["text"] for row in table(tmp_path / "out")]
    assert len(texts) == 1500 < data_set.drawn
    secrets = [*memorised.numbers.values(), *(canary.secret for canary in memorised.canaries)]
    for number in secrets:
        assert grep(pattern_of(number), texts) == 0
    assert grep(re.escape(ADDRESS), texts) == 0
    if rule == "no_copied_numbers":
        patterns = [*map(pattern_of, secrets), re.escape(ADDRESS)]
        expected = [
            row
            for row in table(tmp_path / "all")
            if not any(re.search(pattern, row["text"]) for pattern in patterns)
        ]
        assert table(tmp_path / "out")[: len(expected)] == expected
        with ThreadPoolExecutor(3) as executor:
            memorised.generate(tmp_path / "parallel", executor, no_copied_numbers=True)
        assert contents(tmp_path / "parallel") == contents(tmp_path / "out")


def test_canaries_that_were_planted_often_are_more_exposed(memorised: Memorised):
    scores = score_canaries(checkpoint.load(memorised.model), alternatives=200)
    rare, *_, often = sorted(scores, key=lambda score: score.repeats)
    assert (rare.repeats, often.repeats) == (1, 64)
    assert often.rank == 1 and often.is_extracted and not rare.is_extracted
    assert 0.0 <= rare.exposure_bits < 30 < often.exposure_bits <= often.most_bits
