"""Draw which tokens a model treats as similar, by projecting its embeddings to a plane."""

import unicodedata
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rnnlm.charts import Palette, Picture, dress, in_both, legend, new_figure
from rnnlm.dataset import token_name
from rnnlm.models import LanguageModel
from rnnlm.models.stack import StackedLanguageModel
from rnnlm.tokenizer import Tokenizer
from rnnlm.tokens import BOUNDARY_ID, TokenArrays

MOST_SHOWN = 120
FEWEST_SHOWN = 3
COUNTED = 1_000_000
"""Number of tokens, from the beginning of the text, in which the most frequent ones are counted."""
KINDS = (
    "vowels",
    "consonants",
    "capitals",
    "digits",
    "punctuation",
    "spaces, line ends, special",
)
WORD_KINDS = ("words after a space", "words, pieces of words", *KINDS[2:])
_VISIBLE = str.maketrans({" ": "␣", "\n": "↵", "\t": "⇥", "\r": "←"})


class Projection(NamedTuple):
    """The embeddings of some tokens, projected to a plane; the most frequent token comes first.

    Attributes:
        names: Display name of each token.
        kinds: Index of each token's kind in `kind_names`.
        kind_names: Names of the kinds of tokens, such as digits.
        places: Coordinates of each token in the plane, shape (tokens, 2).
        shares: Share of the embeddings' variance along each of the two axes.
    """

    names: tuple[str, ...]
    kinds: tuple[int, ...]
    kind_names: tuple[str, ...]
    places: NDArray[np.float64]
    shares: tuple[float, float]


def project_embeddings(
    model: LanguageModel, tokenizer: Tokenizer, arrays: TokenArrays
) -> Projection | None:
    """Project the embeddings of the most frequent tokens to a plane.

    Let E be the embeddings minus their mean, and E = U Σ Vᵀ its singular value decomposition. The
    coordinates are the first two columns of U Σ, as this plane preserves squared distances best.
    Returns None if the model has no embeddings, or the text has fewer than `FEWEST_SHOWN` different
    tokens.

    Args:
        model: The model; not modified.
        tokenizer: The model's tokenizer.
        arrays: Text in which the most frequent tokens are counted.

    Source: principal component analysis, Pearson 1901; its computation by singular values, Eckart
    and Young 1936.
    """
    if not isinstance(model, StackedLanguageModel):
        return None
    counts = np.bincount(arrays.tokens[:COUNTED], minlength=model.vocab_size)
    order = np.argsort(-counts, kind="stable")[:MOST_SHOWN]
    chosen = order[counts[order] > 0]
    if len(chosen) < FEWEST_SHOWN:
        return None
    weight = model.embedding.weight.detach().cpu().double().numpy()[chosen]
    if weight.shape[1] < 2:
        weight = np.pad(weight, ((0, 0), (0, 1)))
    u, sizes, _ = np.linalg.svd(weight - weight.mean(axis=0), full_matrices=False)
    places = u[:, :2] * sizes[:2]
    # The sign of a singular vector is arbitrary. It is chosen so that on each axis, the token that
    # is farthest from 0 is on the positive side.
    farthest = np.abs(places).argmax(axis=0)
    places = places * np.where(places[farthest, [0, 1]] < 0.0, -1.0, 1.0)
    total = float(np.square(sizes).sum()) or 1.0
    by_character = tokenizer.kind in ("character", "byte")
    raw = [_raw_name(tokenizer, int(index)) for index in chosen]
    special = {BOUNDARY_ID, tokenizer.unknown_id}
    return Projection(
        names=tuple(visible(name) for name in raw),
        kinds=tuple(
            kind_of(name, special=int(index) in special)
            for name, index in zip(raw, chosen, strict=True)
        ),
        kind_names=KINDS if by_character else WORD_KINDS,
        places=places,
        shares=(float(sizes[0] ** 2 / total), float(sizes[1] ** 2 / total)),
    )


def draw_embeddings(projection: Projection) -> Picture:
    """Draw the names of tokens in the plane, coloured by kind.

    A name that would cover another name is drawn as a dot.
    """
    return in_both(lambda palette: _draw(palette, projection))


def visible(name: str) -> str:
    """Return a token's text with visible signs for invisible characters; cut if it is long."""
    shown = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in name.translate(_VISIBLE))
    return shown if len(shown) <= 14 else shown[:13] + "…"


def kind_of(name: str, *, special: bool = False) -> int:
    """Return the index of a token's kind, in `KINDS` or in `WORD_KINDS`.

    A single letter is a vowel or a consonant, regardless of its accents; letters of other scripts
    than Latin count as consonants. Longer tokens with letters count as words.
    """
    stripped = name.strip()
    if special or not stripped:
        return 5
    if any(c.isdigit() for c in stripped):
        return 3
    first = next((c for c in stripped if c.isalpha()), "")
    if not first:
        return 4
    if first.isupper():
        return 2
    if len(name) > 1:
        return int(not name[0].isspace())
    return int(unicodedata.normalize("NFD", first)[0] not in "aeiouy")


def _raw_name(tokenizer: Tokenizer, index: int) -> str:
    if tokenizer.kind == "byte" and index >= 0x80:
        return f"\\x{index:02x}"
    return token_name(tokenizer, index)


def _draw(palette: Palette, projection: Projection) -> Any:
    figure = new_figure(palette, 5.6)
    axes = figure.add_subplot()
    first, second = projection.shares
    dress(axes, palette, f"{first:.0%} of the variance", f"{second:.0%} of the variance")
    axes.tick_params(labelbottom=False, labelleft=False, length=0)
    axes.spines[:].set_visible(False)
    for kind, name in enumerate(projection.kind_names):
        if kind in projection.kinds:
            axes.plot(
                [], [], marker="s", markersize=6, linestyle="", color=palette.kinds[kind],
                label=name,
            )  # fmt: skip
    low, high = projection.places.min(axis=0), projection.places.max(axis=0)
    margin = 0.05 * np.maximum(high - low, 1e-9)
    axes.set_xlim(low[0] - margin[0], high[0] + margin[0])
    axes.set_ylim(low[1] - margin[1], high[1] + margin[1])
    legend(axes, palette, loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=6, handletextpad=0.1,
           columnspacing=1.2)  # fmt: skip
    figure.draw_without_rendering()  # makes the positions final
    figure.set_layout_engine("none")
    _label(axes, palette, projection)
    return figure


def _label(axes: Any, palette: Palette, projection: Projection) -> None:
    renderer = axes.figure.canvas.get_renderer()
    taken: list[Any] = []
    size = 13 if np.median([*map(len, projection.names)]) == 1 else 9
    rows = zip(projection.names, projection.kinds, projection.places.tolist(), strict=True)
    for name, kind, (x, y) in rows:
        color = palette.kinds[kind]
        text = axes.text(
            x, y, name, ha="center", va="center", fontsize=size, color=color, parse_math=False
        )
        box = text.get_window_extent(renderer)
        if any(box.overlaps(other) for other in taken):
            text.remove()
            axes.plot([x], [y], marker="o", markersize=2.5, color=color, alpha=0.7)
        else:
            taken.append(box)
