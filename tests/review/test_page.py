import html
import random
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from rnnlm.dataset import load_split, load_tokenizer
from rnnlm.errors import CheckpointError, DatasetError
from rnnlm.evaluation.comparison import TextNats
from rnnlm.evaluation.held_out import score_test_split
from rnnlm.evaluation.results import NATS_FILE
from rnnlm.overlap import sample
from rnnlm.review.result import Review
from rnnlm.storage import file_digest
from rnnlm.training.growth import read_growth
from tests.conftest import WORDS, lines
from tests.review.conftest import HTML, Made, make

VOID = {"meta", "img", "source", "br"}


class Reader(HTMLParser):
    """An HTML parser that collects the text of a page.

    It checks that elements are nested correctly and that none loads anything external.
    """

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.said: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            assert not name.startswith("on")
            assert name not in ("src", "srcset", "href") or (value or "").startswith("data:")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.said.append(data)


def read(page: str) -> tuple[str, set[str]]:
    reader = Reader()
    reader.feed(Path(page).read_text("utf-8"))
    assert not reader.open
    return "".join(reader.said), reader.tags


def test_the_page_holds_the_figures(made: Made, reviewed: Review):
    said, tags = read(reviewed.page)
    figures = made.scores.figures
    for name in ("bits_per_character", "ngram_bits_per_character", "bits_per_character_low"):
        assert f"{figures[name]:.3f}" in said
    gain = figures["ngram_bits_per_character"] - figures["bits_per_character"]
    assert f"{abs(gain):.3f}" in said
    assert f"{made.model.parameters:,} parameters" in said
    assert "script" not in tags
    assert read_growth(made.model.uri)[-1].text[:20] in said
    assert reviewed.digest == file_digest(Path(reviewed.page))
    names = [Path(picture).name for picture in reviewed.pictures]
    assert names == ["curves.svg", "documents.svg", "embeddings.svg"]
    assert all(Path(picture).read_bytes()[:5] == b"<?xml" for picture in reviewed.pictures)


def test_all_text_is_escaped(reviewed: Review):
    page = Path(reviewed.page).read_text("utf-8")
    said, _ = read(reviewed.page)
    assert said.count(HTML) >= 3  # title, heading and verdict
    assert html.escape(HTML) in page
    assert "<b>&amp; " not in page


def test_the_same_model_makes_the_same_page(made: Made, reviewed: Review, tmp_path: Path):
    assert made.review(tmp_path, HTML, HTML).digest == reviewed.digest


def test_every_character_of_a_passage_shows_its_bits(reviewed: Review):
    page = Path(reviewed.page).read_text("utf-8")
    assert len(re.findall(r'title="\d+\.\d\d bits, n-grams \d+\.\d\d"', page)) > 100


SETS = {
    "bytes": ("lines", "byte", {}, {}),
    "words": ("lines", "word", {}, {}),
    "pairs of bytes": ("lines", "bpe", {"vocab_size": 280}, {}),
    "n-grams": ("lines", "character", {}, {"architecture": "ngram"}),
    "simple": ("lines", "character", {}, {"architecture": "simple", "embedding_size": 1}),
}


@pytest.mark.parametrize(
    "case",
    [case if case == "n-grams" else pytest.param(case, marks=pytest.mark.slow) for case in SETS],
)
def test_any_tokens_and_any_model_have_a_page(case: str, tmp_path: Path):
    documents, kind, settings, model = SETS[case]
    made = make(
        tmp_path / "made",
        lines(150).replace("rose", "rosé 日本"),
        documents,
        tokenizer={"kind": kind, **settings},
        model=model,
        training={"budget": "1 epochs"},
    )
    review = made.review(tmp_path / "review")
    said, _ = read(review.page)
    is_ngram = case == "n-grams"
    assert ("itself an n-gram model" in said) == is_ngram
    assert ("How it learned" in said) != is_ngram
    assert ("Tokens it treats as similar" in said) != is_ngram
    assert "The hardest" in said
    figures = made.scores.figures
    for name in ("bits_per_character", "ngram_bits_per_character"):  # as MLflow shows them
        assert f"{figures[name]:.3f}bits per character" in said


def test_the_scores_are_those_of_mlflow_if_there_are_unknown_characters(tmp_path: Path):
    text = "".join(f"{line} {chr(0x4E00 + n)}\n" for n, line in enumerate(lines(150).splitlines()))
    made = make(tmp_path / "made", text, training={"budget": "1 epochs"})
    bits = made.scores.figures["bits_per_character"]
    with_spelling = TextNats.load(Path(made.scores.uri) / NATS_FILE).bits_per_character
    assert with_spelling > bits + 0.01
    said, _ = read(made.review(tmp_path / "review").page)
    assert f"{bits:.3f}bits per character" in said
    assert f"{with_spelling:.3f}" not in said


@pytest.mark.slow
def test_a_few_long_documents_have_a_page(tmp_path: Path):
    text = "\n\n\n".join(lines(500).replace("\n", f" {n}, ") for n in range(6))
    made = make(
        tmp_path / "made",
        text.replace("\n\n\n", "\n"),
        training={"feed": "stream", "budget": "1 epochs", "bptt": 50},
    )
    said, _ = read(made.review(tmp_path / "review").page)
    assert "part of document" in said
    assert "pieces of 1,024 tokens" in said
    assert said.count("95% interval") == 2
    assert "too few" not in said


@pytest.mark.slow
def test_ten_characters_have_a_page(tmp_path: Path):
    text = "".join(f"{n:02d}{'ab' * (n % 4)}\n" for n in range(60))
    made = make(tmp_path / "made", text, training={"budget": "1 epochs"})
    said, _ = read(made.review(tmp_path / "review").page)
    assert "The easiest" in said


def test_missing_files_are_clear_errors(made: Made, tmp_path: Path):
    nowhere = made.scores.model_copy(update={"uri": str(tmp_path)})
    with pytest.raises(DatasetError, match=r"no scores in .*nats\.npz"):
        Made(made.model, made.ngrams, nowhere, made.tokens_uri).review(tmp_path)
    gone = made.model.model_copy(update={"checkpoint": str(tmp_path / "gone")})
    with pytest.raises(CheckpointError, match="no checkpoint"):
        Made(gone, made.ngrams, made.scores, made.tokens_uri).review(tmp_path)
    assert not [*tmp_path.iterdir()]


def test_a_document_that_the_base_has_read_is_not_on_the_page(tmp_path: Path):
    chance = random.Random(1)
    text = "\n".join(" ".join(chance.choices(WORDS, k=100)) + f" {n}" for n in range(40))
    made = make(tmp_path / "made", text, training={"budget": "1 epochs"})
    arrays = load_split(made.tokens_uri, "test")
    first = load_tokenizer(made.tokens_uri).decode(arrays.tokens[: arrays.offsets[1] - 1].tolist())
    paths = Path(made.model.checkpoint), Path(made.ngrams.checkpoint)
    scores = score_test_split(*paths, made.tokens_uri, tmp_path / "scores", known=sample([first]))
    assert scores.figures["overlap_documents"] == 1
    page = Made(made.model, made.ngrams, scores, made.tokens_uri).review(tmp_path / "review").page
    assert "The easiest" in read(page)[0]
