"""Write a report on a tokenized corpus: figures, a plot of document lengths, sample documents."""

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from rnnlm.corpora.ingestion import Corpus
from rnnlm.corpora.splitting import SPLITS
from rnnlm.dataset import Tokens, iter_split, load_tokenizer, token_name
from rnnlm.errors import DamagedFileError, DatasetError
from rnnlm.saved import read_json
from rnnlm.storage import write_bytes, write_json
from rnnlm.tokenizer import Tokenizer
from rnnlm.visible import visible_html

REPORT_FILE = "report.html"
LENGTHS_FILE = "lengths.png"
FIGURES_FILE = "report.json"
SAMPLES = 10
SHOWN_TOKENS = 400
"""Number of documents to show, and largest number of tokens to show of each."""
BINS = 24
SEED = 1


class CorpusReport(BaseModel):
    """A corpus in figures.

    Attributes:
        path: The HTML page that shows the figures.
        plot: A PNG file: histogram of the lengths of training documents.
        characters_per_token: Characters per token in the training split; the boundary counts as a
            token.
        bytes_per_token: UTF-8 bytes per token in the training split; the boundary counts as a
            token.
        length_quantiles: Length of training documents in characters: minimum, three quartiles,
            maximum.
        length_counts: Number of training documents in each of `BINS` bins of length.
        length_edges: Edges of those bins, in characters.
        samples: Random training documents as the model sees them.
    """

    model_config = ConfigDict(frozen=True)

    path: str
    plot: str
    characters_per_token: float
    bytes_per_token: float
    length_quantiles: tuple[int, int, int, int, int]
    length_counts: tuple[int, ...]
    length_edges: tuple[int, ...]
    samples: tuple[str, ...]


def write_report(name: str, corpus: Corpus, tokens: Tokens, out: Path) -> CorpusReport:
    """Write `out/report.html`, `lengths.png` and `report.json`, and return what they show.

    Args:
        name: Name of the corpus.
        corpus: The result of ingestion.
        tokens: The result of tokenization.
        out: Folder to write to, created if needed.

    Raises:
        DatasetError: The shards cannot be read.
        StorageError: A file cannot be written.
    """
    tokenizer = load_tokenizer(tokens.uri)
    lengths, size, samples = _read_training_split(tokens.uri, corpus.documents["train"], tokenizer)
    count = tokens.tokens["train"]
    edges = _edges(lengths)
    counts, _ = np.histogram(lengths, edges)
    quantiles = np.quantile(lengths, [0, 0.25, 0.5, 0.75, 1], method="nearest")
    report = CorpusReport(
        path=str(out / REPORT_FILE),
        plot=str(out / LENGTHS_FILE),
        characters_per_token=round(int(lengths.sum()) / count, 4),
        bytes_per_token=round(size / count, 4),
        length_quantiles=tuple(int(length) for length in quantiles),
        length_counts=tuple(int(count) for count in counts),
        length_edges=tuple(round(edge) for edge in edges),
        samples=samples,
    )
    picture = _plot(lengths, edges)
    write_bytes(out / LENGTHS_FILE, picture)
    page = _page(name, corpus, tokens, report, picture)
    write_bytes(out / REPORT_FILE, page.encode())
    write_json(out / FIGURES_FILE, report.model_dump())
    return report


def read_report(folder: str) -> CorpusReport:
    """Return the report that was written into a folder.

    Raises:
        DatasetError: The folder has no readable report.
    """
    path = Path(folder) / FIGURES_FILE
    try:
        report: CorpusReport = read_json(path, CorpusReport, "run `rnnlm inspect` again")
    except DamagedFileError as error:
        raise DatasetError(str(error)) from error
    return report


def as_seen(tokenizer: Tokenizer, ids: NDArray[Any]) -> str:
    """Return the text of a document with its boundary token and the token borders made visible.

    Borders are not marked if tokens are characters or bytes. Only the first `SHOWN_TOKENS` tokens
    are shown.
    """
    shown = ids[:SHOWN_TOKENS].tolist()
    more = [] if len(ids) <= SHOWN_TOKENS else ["…"]
    names = [token_name(tokenizer, index) for index in shown] + more
    between = "" if tokenizer.kind in ("character", "byte") else "·"
    if tokenizer.kind == "byte":
        return tokenizer.decode(shown) + ("…" if more else "<eos>")
    return between.join(names)


def _read_training_split(
    uri: str, count: int, tokenizer: Tokenizer
) -> tuple[NDArray[np.int64], int, tuple[str, ...]]:
    """Return each document's length in characters, the bytes of all documents, and random samples.

    Args:
        uri: Folder of token shards.
        count: Number of training documents.
        tokenizer: Tokenizer that made the shards.
    """
    chosen = np.random.default_rng(SEED).choice(count, min(SAMPLES, count), replace=False)
    wanted = np.sort(chosen)
    lengths, samples, size, start = [], [], 0, 0
    for part in iter_split(uri, "train"):
        lengths.append(part.characters.astype(np.int64))
        size += int(part.bytes.sum())
        stop = start + len(part.characters)
        for number in wanted[(wanted >= start) & (wanted < stop)] - start:
            ids = part.tokens[part.offsets[number] : part.offsets[number + 1]]
            samples.append(as_seen(tokenizer, ids))
        start = stop
    return np.concatenate(lengths), size, tuple(samples)


def _edges(lengths: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the edges of `BINS` bins of length, which are equally wide.

    If the longest document is more than 30 times as long as the shortest, the edges grow by equal
    ratios instead.
    """
    low, high = max(1, int(lengths.min())), int(lengths.max()) + 1
    if high > 30 * low:
        return np.geomspace(low, high, BINS + 1)
    return np.linspace(low, max(high, low + 1), BINS + 1)


def _plot(lengths: NDArray[np.int64], edges: NDArray[np.float64]) -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter

    figure = Figure(figsize=(7, 2.6), dpi=120, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.hist(lengths, edges.tolist(), color="#4c72b0", edgecolor="white", linewidth=0.5)
    if edges[-1] > 30 * edges[0]:
        axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.xaxis.set_minor_formatter(FuncFormatter(lambda *_: ""))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.set_xlabel("characters of a training document")
    axes.set_ylabel("documents")
    axes.spines[["top", "right"]].set_visible(False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _page(name: str, corpus: Corpus, tokens: Tokens, report: CorpusReport, picture: bytes) -> str:
    encoded = base64.b64encode(picture).decode()
    unknown = tokens.unknown["test"] / max(1, tokens.tokens["test"])
    facts = [
        ("vocabulary", f"{tokens.vocab_size:,} tokens"),
        ("characters per token", f"{report.characters_per_token:.3f}"),
        ("bytes per token", f"{report.bytes_per_token:.3f}"),
        ("unknown in test", f"{unknown:.3%} of the tokens"),
        *((f"dropped: {reason}", f"{count:,}") for reason, count in corpus.dropped.items()),
        *((what, f"{count:,}") for what, count in corpus.cleaned.items()),
        *((f"files in {name}", f"{count:,}") for name, count in corpus.encodings.items()),
    ]
    splits = [
        (
            split,
            f"{corpus.documents[split]:,}",
            f"{corpus.characters[split]:,}",
            f"{tokens.tokens[split]:,}",
        )
        for split in SPLITS
    ]
    frequent = [
        (repr(token)[1:-1].replace(" ", "␣"), f"{share:.2%}")
        for token, share in tokens.most_frequent.items()
    ]
    samples = "\n".join(
        f'<pre dir="auto">{visible_html(sample)}</pre>' for sample in report.samples
    )
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{visible_html(name)}: the corpus</title>
<style>
body {{ font: 15px/1.45 system-ui, sans-serif; max-width: 56rem; margin: 2rem auto; padding: 0 1rem;
       color: #222; background: #fff }}
h1 {{ font-size: 1.5rem }} h2 {{ font-size: 1.1rem; margin-top: 1.8rem }}
table {{ border-collapse: collapse }} td, th {{ padding: .15rem 1.2rem .15rem 0; text-align: left }}
td:not(:first-child), th:not(:first-child) {{ text-align: right;
      font-variant-numeric: tabular-nums }}
pre {{ background: #f5f5f3; padding: .5rem .8rem; border-radius: 4px; white-space: pre-wrap;
      margin: .4rem 0; font-size: 13px }}
img {{ max-width: 100% }} .columns {{ display: flex; gap: 4rem; flex-wrap: wrap }}
</style>
<h1>{visible_html(name)}</h1>
{_table(("split", "documents", "characters", "tokens"), splits)}
<h2>Lengths</h2>
<img alt="lengths of documents" src="data:image/png;base64,{encoded}">
<div class="columns"><div><h2>Tokens and cleaning</h2>{_table((), facts)}</div>
<div><h2>Most frequent tokens</h2>{_table((), frequent)}</div></div>
<h2>{len(report.samples)} random documents, as the model sees them</h2>
{samples}
</html>
"""


def _table(header: tuple[str, ...], rows: list[Any]) -> str:
    head = "".join(f"<th>{visible_html(cell)}</th>" for cell in header)
    body = "\n".join(
        "<tr>" + "".join(f"<td>{visible_html(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f"<table>{f'<tr>{head}</tr>' if head else ''}\n{body}</table>"
