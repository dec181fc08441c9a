"""Write an n-gram model as an ARPA file, which KenLM, SRILM and speech recognisers read.

The file lists the n-grams of every order, each with log₁₀ p(w | h) and, if it is the context of
longer n-grams, the logarithm of its back-off weight γ. The probability of an n-gram that is not
listed is γ(h) p(w | h′). This is how the interpolated probabilities of `rnnlm.ngram` are defined
too, so the file gives the same ones.

Tokens are written as their UTF-8 bytes, each as the letter that GPT-2 uses for it: a space is `Ġ`,
a line end `Ċ`, and the characters `!` to `~` stand for themselves. What other programs call a
sentence is a document: `<s>` stands for the boundary that begins it, `</s>` for the one that ends
it, and `<unk>` for what the vocabulary lacks.

Source: the manual page `ngram-format(5)` of SRILM, Stolcke 2002; a back-off model with
interpolated probabilities, Chen and Goodman 1998, section 2.8.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from rnnlm.arrow import strings
from rnnlm.checkpoint import LoadedModel
from rnnlm.errors import CheckpointError, TokenizerError
from rnnlm.models.ngram import NGramLanguageModel
from rnnlm.ngram import NGramTables
from rnnlm.storage import atomic_path
from rnnlm.tokenizer import Tokenizer
from rnnlm.tokenizer.bpe import byte_letters
from rnnlm.tokenizer.contract import UNKNOWN
from rnnlm.tokens import BOUNDARY_ID

BEGIN, END = "<s>", "</s>"
IMPOSSIBLE = -99.0
"""The logarithm that stands for a probability of 0: nothing predicts `<s>`."""
LINES_AT_ONCE = 1 << 18


class ListedOrder(NamedTuple):
    """The n-grams of one order, as the file lists them.

    Attributes:
        ngrams: The tokens of each n-gram, joined by spaces; an Arrow array of large strings.
        probabilities: p(w | h) of each, shape (ngrams,).
        backoffs: γ of each as a context, shape (ngrams,); None for the highest order.
    """

    ngrams: pa.LargeStringArray
    probabilities: NDArray[np.float64]
    backoffs: NDArray[np.float64] | None


def write(path: Path, loaded: LoadedModel) -> int:
    """Write an n-gram model as an ARPA file, whole or not at all; return its number of n-grams.

    Args:
        path: The file.
        loaded: The model; not modified.

    Raises:
        CheckpointError: The model is not an n-gram model.
        TokenizerError: The bytes of its tokens are not known, or two tokens have the same.
        StorageError: The file cannot be written; any previous content is intact.
    """
    if not isinstance(loaded.model, NGramLanguageModel):
        raise CheckpointError(
            f"{loaded.experiment.model.title} cannot be written as ARPA (expected an n-gram "
            "model); train one with model.architecture=ngram"
        )
    tables = loaded.model.tables
    names = token_names(loaded.tokenizer)
    sizes = [len(names) + 1, *(len(order.keys) for order in tables.orders)]
    with (
        atomic_path(path) as temporary,
        temporary.open("w", encoding="utf-8", newline="\n") as file,
    ):
        file.write("\\data\\\n")
        file.writelines(f"ngram {n}={size}\n" for n, size in enumerate(sizes, start=1))
        for n, order in enumerate(_listed(tables, names), start=1):
            file.write(f"\n\\{n}-grams:\n")
            for start in range(0, len(order.ngrams), LINES_AT_ONCE):
                file.writelines(_lines(order, slice(start, start + LINES_AT_ONCE)))
        file.write("\n\\end\\\n")
    return sum(sizes)


def token_names(tokenizer: Tokenizer) -> list[str]:
    """Return what an ARPA file calls each token, by id; the boundary is called `</s>`.

    Raises:
        TokenizerError: The bytes of the tokens are not known, or two tokens have the same.
    """
    letters = byte_letters()
    names = ["".join(letters[byte] for byte in piece) for piece in tokenizer.token_bytes()]
    names[BOUNDARY_ID] = END
    if tokenizer.unknown_id is not None:
        names[tokenizer.unknown_id] = UNKNOWN
    if len({*names, BEGIN}) <= len(names):
        raise TokenizerError(
            "the tokens have no distinct names (found two that are equal, or one called "
            f"{BEGIN}, {END} or {UNKNOWN}); learn another vocabulary"
        )
    return names


def sentence(tokenizer: Tokenizer, text: str) -> str:
    """Return the tokens of a text as other programs take them: their names, joined by spaces."""
    names = token_names(tokenizer)
    return " ".join(names[token] for token in tokenizer.encode(text))


def _listed(tables: NGramTables, names: list[str]) -> Iterator[ListedOrder]:
    """Yield the n-grams of each order, the lowest first.

    The order-1 list has `<s>` after all tokens. A context that is the boundary begins a document.
    """
    targets = strings(names)
    begun = [BEGIN if token == BOUNDARY_ID else name for token, name in enumerate(names)]
    contexts = strings(begun)
    (space,) = strings([" "])
    weights = [order.backoffs[:-1] for order in tables.orders]  # the last is of no context
    probabilities = tables.unigrams
    first = None
    if weights:
        first = np.append(weights[0], weights[0][BOUNDARY_ID])
        first[BOUNDARY_ID] = 1.0  # nothing follows `</s>`
    unigrams = pa.concat_arrays([targets, strings([BEGIN])])
    yield ListedOrder(unigrams, np.append(probabilities, 10.0**IMPOSSIBLE), first)
    suffixes: NDArray[Any] = np.zeros(0, np.int64)  # ids of n-grams without their first token
    for n, table in enumerate(tables.orders, start=2):
        before, last = np.divmod(table.keys, table.keys.dtype.type(table.vocab_size))
        suffixes = last if n == 2 else tables.orders[n - 3].find(suffixes[before], last)
        ids = np.arange(len(table.keys))
        probabilities = table.interpolate(probabilities[suffixes], before, ids)
        contexts = pc.binary_join_element_wise(contexts.take(before), targets.take(last), space)
        yield ListedOrder(contexts, probabilities, weights[n - 1] if n <= len(weights) else None)


def _lines(order: ListedOrder, place: slice) -> Iterator[str]:
    columns = [_logarithms(order.probabilities[place]), order.ngrams[place]]
    if order.backoffs is not None:
        columns.append(_logarithms(order.backoffs[place]))
    lines = pc.binary_join_element_wise(*columns, *strings(["\t"]))
    return (f"{line}\n" for line in lines.to_pylist())


def _logarithms(values: NDArray[np.float64]) -> pa.LargeStringArray:
    """Return log₁₀ of probabilities as decimals, rounded to the 32 bits that readers keep.

    The sum of probabilities can exceed 1 by a rounding error; readers refuse logarithms above 0.
    """
    rounded = np.minimum(np.log10(values), 0.0).astype(np.float32)
    return pa.array(rounded).cast(pa.large_string())
