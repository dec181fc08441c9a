"""The report page of a trained model, in one HTML file.

It shows how good the model is, which texts it predicts well or badly, and how it learned. The page
loads nothing from the network and has no scripts, so that MLflow's artifact viewer can
show it. It follows the reader's light or dark colour scheme.
"""

import math
from collections.abc import Sequence
from pathlib import Path

from rnnlm import checkpoint, dataset
from rnnlm.charts import Picture
from rnnlm.checkpoint import LoadedModel
from rnnlm.devices import choose_device
from rnnlm.errors import DamagedFileError, DatasetError
from rnnlm.evaluation.comparison import TextNats, compare
from rnnlm.evaluation.held_out import scored_documents
from rnnlm.evaluation.intervals import LEVEL
from rnnlm.evaluation.results import NATS_FILE, NGRAM_NATS_FILE, TestScores, by_repeats, yardstick
from rnnlm.header import load_facts
from rnnlm.models.ngram import NGramLanguageModel
from rnnlm.review.by_document import QUANTILES, Pairs, draw_documents, pair
from rnnlm.review.curves import Rows, can_draw_curves, draw_curves, said_of_learning
from rnnlm.review.embeddings import draw_embeddings, project_embeddings
from rnnlm.review.exposure_table import exposure_table
from rnnlm.review.markup import image, markup, seen, signed
from rnnlm.review.passages import Extremes, Passage, find_extremes
from rnnlm.review.result import REVIEW_FILE, Review
from rnnlm.review.writing import writing_table
from rnnlm.storage import file_digest, write_bytes
from rnnlm.surprise import END_MARK, names_of_shades, shade
from rnnlm.training.growth import GrowthText, read_growth
from rnnlm.training.history import read_history
from rnnlm.visible import visible_html

CURVES_PICTURE, DOCUMENTS_PICTURE = "curves.svg", "documents.svg"
EMBEDDINGS_PICTURE = "embeddings.svg"
ROUNDING = 0.0005
"""Scores are shown with three decimals; a smaller difference does not show."""
KNEW_BETTER = 2.0
"""A character is underlined if the n-grams need at least this many bits fewer for it."""
SHOWN_GROWTH = 180
"""Most characters shown of a text that was sampled during training; a tooltip shows all of it."""


def write_review(
    training_uri: str,
    checkpoint_path: Path,
    ngram_path: Path,
    scores: TestScores,
    tokens_uri: str,
    title: str,
    out: Path,
    verdict: str = "",
    level: float = LEVEL,
) -> Review:
    """Write `out/review.html` and its pictures.

    This takes seconds for a small model. The amount of text that is scored again is limited, so
    that a large model takes no more than about a minute.

    Args:
        training_uri: Folder of the training run, with its history and the texts that were sampled
            during training.
        checkpoint_path: Checkpoint of the model to review, of any architecture.
        ngram_path: Checkpoint of the n-gram model that it is compared with.
        scores: Scores of both models on the test split, from `score_test_split`.
        tokens_uri: Folder of the token shards with this test split.
        title: Title of the page.
        out: Folder to write to; created if needed.
        verdict: A line under the title, such as the gate's verdict.
        level: Confidence level of the comparison with the n-gram model, as the gate used it.

    Raises:
        CheckpointError: A model cannot be read.
        DatasetError: There are no token shards, or the scores are missing or of other documents.
        EmptySplitError: The test split is empty.
        StorageError: A file cannot be written.
    """
    arrays = scored_documents(scores, dataset.load_split(tokens_uri, "test"))
    loaded, counted = checkpoint.load(checkpoint_path, choose_device()), checkpoint.load(ngram_path)
    nats, ngram_nats = (_read_nats(scores, name) for name in (NATS_FILE, NGRAM_NATS_FILE))
    extremes = find_extremes(loaded.model, counted.model, loaded.tokenizer, arrays, nats)
    rows = read_history(training_uri)
    pairs = pair(nats, ngram_nats)
    best_step = int(loaded.facts.get("step", 0))
    pictures: dict[str, Picture] = {}
    if can_draw_curves(rows):
        ngram_bits = load_facts(yardstick(ngram_path)).get("bits_per_character")
        pictures[CURVES_PICTURE] = draw_curves(rows, best_step, ngram_bits)
    if len(pairs.model) > 1:
        pictures[DOCUMENTS_PICTURE] = draw_documents(pairs)
    projection = project_embeddings(loaded.model, loaded.tokenizer, arrays)
    if projection is not None:
        pictures[EMBEDDINGS_PICTURE] = draw_embeddings(projection)
    for name, picture in pictures.items():
        write_bytes(out / name, picture.light)
    sections = [
        _result(scores, nats, ngram_nats, counted.experiment.model.title, loaded, level),
        _learning(pictures.get(CURVES_PICTURE), rows, best_step),
        writing_table(scores.figures),
        exposure_table(by_repeats(scores.canaries)),
        _growth(read_growth(training_uri)),
        _documents(pictures.get(DOCUMENTS_PICTURE), pairs),
        _passages(extremes),
        _embeddings(pictures.get(EMBEDDINGS_PICTURE), 0 if not projection else len(projection[0])),
    ]
    page = out / REVIEW_FILE
    write_bytes(page, markup(title, verdict, _facts(loaded, rows), sections).encode())
    return Review(
        uri=str(out),
        page=str(page),
        pictures=tuple(str(out / name) for name in pictures),
        digest=file_digest(page),
    )


def _read_nats(scores: TestScores, name: str) -> TextNats:
    path = Path(scores.uri) / name
    try:
        return TextNats.load(path)
    except (DamagedFileError, OSError, ValueError, KeyError) as error:
        raise DatasetError(
            f"no scores in {path} (expected the file that scoring the test split writes); score "
            "the checkpoint again"
        ) from error


def _facts(loaded: LoadedModel, rows: Rows) -> str:
    """Return one line that states the kind of model and how long it was trained."""
    tokenizer = loaded.tokenizer
    said = [
        loaded.experiment.model.title,
        f"{loaded.model.parameter_count:,} "
        + ("n-grams" if isinstance(loaded.model, NGramLanguageModel) else "parameters"),
        f"{tokenizer.kind} tokens, vocabulary {tokenizer.vocab_size:,}",
    ]
    if rows and can_draw_curves(rows):
        last = rows[-1]
        said.append(
            f"trained on {last['tokens']:,.0f} tokens in {last['step']:,.0f} steps and "
            f"{_duration(last['seconds'])}; best at step {int(loaded.facts.get('step', 0)):,}"
        )
    return " · ".join(said)


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} seconds"
    minutes = seconds / 60
    return f"{minutes:.0f} minutes" if minutes < 120 else f"{minutes / 60:.1f} hours"


def _result(
    scores: TestScores,
    nats: TextNats,
    ngram_nats: TextNats,
    ngrams: str,
    loaded: LoadedModel,
    level: float,
) -> str:
    """Return HTML with the scores of both models and their comparison.

    The scores are those in MLflow and in the registry; they do not count how unknown tokens are
    spelled, as the comparison does (see `TextNats`).

    Args:
        scores: Scores of both models.
        nats: Nats of each test document under the model.
        ngram_nats: Nats of each test document under the n-gram model.
        ngrams: What to call the n-gram model.
        loaded: The model.
        level: Confidence level of the comparison's interval.
    """
    figures = scores.figures
    bits = float(figures["bits_per_character"])
    low = float(figures.get("bits_per_character_low", bits))
    high = float(figures.get("bits_per_character_high", bits))
    beside = float(figures["ngram_bits_per_character"])
    comparison = compare(nats, ngram_nats, level)
    gain = comparison.better_by
    units = "documents" if comparison.units == len(nats.documents) else "pieces of 1,024 tokens"
    if math.isfinite(comparison.low):
        sure = f"{level:.0%} interval {signed(comparison.low)} to {signed(comparison.high)}"
        sure += f", paired over {comparison.units:,} {units}"
    else:
        sure = "no interval: the text has a single piece"
    if abs(beside - bits - gain) > ROUNDING:
        sure += "; this also counts the spelling of unknown tokens"
    interval = f"95% interval {low:.3f} to {high:.3f}" if high > low else "no interval"
    interval += f"; perplexity per token {float(figures['perplexity']):,.2f}"
    own = f"{float(figures['own_ngram_bits_per_character']):.3f} with the model's own tokens"
    ngram_perplexity = f"{own}; perplexity per token {float(figures['ngram_perplexity']):,.2f}"
    cards = [
        ("this model", f"{bits:.3f}", "bits per character of the test split", interval, "model"),
        (
            f"{ngrams} of characters on the same text",
            f"{beside:.3f}",
            "bits per character",
            ngram_perplexity,
            "ngrams",
        ),
        (
            "the model is better by" if gain >= 0 else "the model is worse by",
            f"{abs(gain):.3f}",
            f"bits per character, {abs(gain) / max(beside, 1e-9):.1%} "
            + ("fewer" if gain >= 0 else "more"),
            sure,
            "model" if gain >= 0 else "ngrams",
        ),
    ]
    shown = "".join(
        f'<div class="card {kind}"><span>{visible_html(name)}</span><b>{figure}</b>'
        f"<span>{visible_html(unit)}</span><small>{visible_html(note)}</small></div>"
        for name, figure, unit, note, kind in cards
    )
    same = isinstance(loaded.model, NGramLanguageModel)
    note = "<p>This model is itself an n-gram model.</p>" if same else ""
    return f'<div class="cards">{shown}</div>{_ruler(bits, low, high, beside)}{note}'


def _ruler(bits: float, low: float, high: float, beside: float) -> str:
    """Return HTML with a bar for each model's score; the model's bar also shows its interval.

    Args:
        bits: Bits per character of the model.
        low: Lower end of the confidence interval of `bits`.
        high: Upper end of this interval.
        beside: Bits per character of the n-gram model.
    """
    most = max(bits, beside, high, 1e-9) * 1.02

    def width(value: float) -> str:
        return f"{100 * value / most:.2f}%"

    return (
        '<div class="bars" aria-hidden="true">'
        f'<div><i class="model" style="width:{width(bits)}"></i>'
        f'<u style="left:{width(low)};width:{width(max(0.0, high - low))}"></u></div>'
        f'<div><i class="ngrams" style="width:{width(beside)}"></i></div></div>'
    )


def _learning(picture: Picture | None, rows: Rows, best_step: int) -> str:
    if picture is None:
        return ""
    note = visible_html(said_of_learning(rows, best_step))
    return f"<h2>How it learned</h2><p>{note}</p>{image(picture, 'curves of training')}"


def _growth(texts: Sequence[GrowthText]) -> str:
    """Return HTML that shows how the texts sampled during training changed.

    There is a table for each prefix, with a row for each moment of training at which texts were
    sampled, and a column for each temperature.
    """
    if not texts:
        return ""
    shares = sorted({(text.share, text.step) for text in texts})
    temperatures = sorted({text.temperature for text in texts})
    head = "".join(f"<th>temperature {temperature:g}</th>" for temperature in temperatures)
    parts = [
        "<h2>How its writing developed</h2><p>The random numbers are the same each time; only the "
        "model differs.</p>"
    ]
    for prefix in dict.fromkeys(text.prefix for text in texts):
        rows = []
        for share, step in shares:
            cells = []
            for temperature in temperatures:
                found = [
                    text
                    for text in texts
                    if (text.prefix, text.step, text.temperature) == (prefix, step, temperature)
                ]
                # If the texts are short, all are shown; otherwise only the first one.
                is_short = all(len(text.text) <= SHOWN_GROWTH // 3 for text in found)
                shown = found if is_short else found[:1]
                cells.append(f"<td>{''.join(map(_grown, shown))}</td>")
            spent = min(share, 1.0)
            note = f"<b>{spent:.0%}</b><small>step {step:,}</small>"
            rows.append(f"<tr><th>{note}</th>{''.join(cells)}</tr>")
        what = (
            f"Continuing <q>{visible_html(seen(prefix))}</q>, the beginning of a document that it "
            "was not trained on"
            if prefix
            else "Without a prefix"
        )
        parts.append(
            f'<h3>{what}</h3><table class="growth"><tr><th>budget</th>{head}</tr>\n'
            + "\n".join(rows)
            + "</table>"
        )
    return "\n".join(parts)


def _grown(text: GrowthText) -> str:
    """Return a text as HTML with its prefix highlighted; cut if it is long."""
    start = text.prefix if text.text.startswith(text.prefix) else ""
    rest = text.text[len(start) :]
    cut = rest if len(rest) <= SHOWN_GROWTH else rest[:SHOWN_GROWTH] + "…"
    title = f' title="{visible_html(seen(text.text))}"' if cut != rest else ""
    begun = f"<em>{visible_html(seen(start))}</em>" if start else ""
    shown = visible_html(seen(cut)) or "<small>(empty)</small>"
    return f'<p dir="auto"{title}>{begun}{shown}</p>'


def _documents(picture: Picture | None, pairs: Pairs) -> str:
    if picture is None:
        return ""
    head = "".join(f"<th>{quantile:.0%}</th>" for quantile in QUANTILES)
    body = "\n".join(
        f"<tr><th>{name}</th>"
        + "".join(
            f"<td>{signed(value) if '−' in name else format(value, '.3f')}</td>" for value in values
        )
        + "</tr>"
        for name, values in pairs.quantiles()
    )
    return (
        f"<h2>Compared with the n-grams, {visible_html(pairs.unit)} one by one</h2>"
        f"{image(picture, 'bits per character of each, under both models')}"
        f'<table class="figures"><tr><th>bits per character, quantiles of {len(pairs.model):,} '
        f"{visible_html(pairs.unit)}</th>{head}</tr>\n{body}</table>"
    )


def _passages(extremes: Extremes) -> str:
    legend = " ".join(f'<i class="s{n}">{name}</i>' for n, name in enumerate(names_of_shades()))
    parts = [
        "<h2>Where it is surprised</h2><p>Colours show the bits that each character cost the "
        f"model: <span class=legend>{legend}</span> A character is <i class=k>underlined</i> if "
        f"the n-grams needed at least {KNEW_BETTER:g} bits fewer; {END_MARK} is the end of a text. "
        "Hover over a character to see its bits.</p>"
    ]
    for name, passages in (("The hardest", extremes.hardest), ("The easiest", extremes.easiest)):
        if passages:
            parts.append(f"<h3>{name}</h3>" + "\n".join(map(_passage, passages)))
    return "\n".join(parts)


def _passage(passage: Passage) -> str:
    what = "" if passage.is_whole else "part of "
    return (
        f"<article><header><b>{passage.bits_per_character:.2f}</b> bits per character"
        f"<span>n-grams {passage.ngram_bits_per_character:.2f}</span>"
        f"<span>{what}document {passage.document + 1:,}</span></header>"
        f"<div class=text>{_colored(passage)}</div></article>"
    )


def _colored(passage: Passage) -> str:
    """Return each character of a passage as HTML, coloured by its bits."""
    parts = []
    following = [*passage.text[1:], ""]
    rows = zip(passage.text, following, passage.bits, passage.ngram_bits, strict=True)
    for character, after, bits, ngram_bits in rows:
        kind = f"s{shade(bits)}" + " k" * (bits - ngram_bits >= KNEW_BETTER)
        shown = visible_html(seen(character))
        if character == "\n":
            shown = "↵" if after == "\n" else "↵\n"  # show no empty lines
        parts.append(
            f'<i class="{kind}" title="{bits:.2f} bits, n-grams {ngram_bits:.2f}">{shown}</i>'
        )
    return "".join(parts)


def _embeddings(picture: Picture | None, count: int) -> str:
    if picture is None:
        return ""
    return (
        f"<h2>Tokens it treats as similar</h2><p>The embeddings of the {count} most frequent "
        "tokens, projected to the plane that preserves their distances best; tokens that are close "
        "together mean much the same to the model.</p>"
        f"{image(picture, 'embeddings of the most frequent tokens')}"
    )
