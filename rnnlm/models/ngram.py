"""A modified Kneser–Ney n-gram model with the same interface as the recurrent models.

`rnnlm.ngram` has the equations, and defines the ids, keys and adjusted counts of n-grams. The
context of a token is the sequence of the tokens before it. The model's state holds the ids of the
contexts of 1, 2, … order − 1 tokens, so that a time step is one look-up per order.

The tables of n-grams are torch buffers, and are therefore stored in checkpoints like weights: the
adjusted counts of every order, and the keys of every order above 1. All other tables are computed
from these.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from rnnlm.models.contract import LanguageModel, State
from rnnlm.ngram import NEVER, NGramTables, count, tables_of
from rnnlm.progress import OnProgress, silent

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jaxtyping import Float, Int

    from rnnlm.config import ModelConfig
    from rnnlm.tokens import TokenArrays

MOST_COUNTED = 50_000_000
"""Most tokens of text to count.

Counting sorts all keys of an order in memory, which takes 20 bytes per token.
"""
_MOST_PROBABILITIES = 1 << 22
"""Most probabilities to compute at once in double precision.

They take 32 MB, and up to as much again for each order.
"""


class NGramLanguageModel(LanguageModel):
    """An n-gram language model.

    It predicts every token with the same probability until it is fitted or loaded.
    """

    def __init__(self, config: ModelConfig, vocab_size: int) -> None:
        """Create a model without n-grams; its order is `config.ngram_order`."""
        super().__init__(config, vocab_size)
        self.order = config.ngram_order
        nothing = np.zeros(0, dtype=np.int32)
        empty = [nothing] * (self.order - 1)
        self._adopt(tables_of(np.zeros(vocab_size, dtype=np.int32), empty, empty))

    def fit(self, arrays: TokenArrays, on_progress: OnProgress = silent) -> None:
        """Count the n-grams of a training split; they replace earlier counts.

        If the split is longer than `MOST_COUNTED` tokens, only its first documents are counted.

        Args:
            arrays: Tokens of the training split.
            on_progress: Called as counting proceeds.

        Raises:
            EmptySplitError: The split has no tokens.
        """
        counted = arrays.first(MOST_COUNTED) if len(arrays.tokens) > MOST_COUNTED else arrays
        self._adopt(count(counted, self.vocab_size, self.order, on_progress))

    @property
    def tables(self) -> NGramTables:
        """The tables as numpy arrays, for `rnnlm.ngram.score`.

        They share the memory of the model's buffers if these are on the CPU.
        """
        counts = [self._array(f"counts_{n}") for n in range(1, self.order + 1)]
        keys = [self._array(f"keys_{n}") for n in range(2, self.order + 1)]
        return tables_of(counts[0], keys, counts[1:])

    def forward(
        self, inputs: Int[Tensor, "batch time"], state: State
    ) -> tuple[Float[Tensor, "batch time vocab"], State]:
        """Return the log-probabilities of the next token after each input, and the state.

        They can be used as logits, because their exponentials sum to 1.
        """
        contexts = self._contexts(inputs, state[0])
        rows = contexts.flatten(0, 1)
        at_once = max(1, _MOST_PROBABILITIES // self.vocab_size)
        logits = torch.empty((len(rows), self.vocab_size), device=self.device)
        for start in range(0, len(rows), at_once):
            part = slice(start, start + at_once)
            logits[part] = self._distribution(rows[part]).log_()
        return logits.view(*inputs.shape, self.vocab_size), (contexts[:, -1],)

    def initial_state(self, batch_size: int) -> State:
        """Return the state at the beginning of a document, where there are no contexts yet.

        It is one tensor of shape (batch, order − 1), filled with `NEVER`, the id of an unknown
        context.
        """
        shape = (batch_size, self.order - 1)
        return (torch.full(shape, NEVER, dtype=torch.int64, device=self.device),)

    @property
    def parameter_count(self) -> int:
        """Number of n-grams of all orders in the tables."""
        return sum(self.get_buffer(f"counts_{n}").numel() for n in range(1, self.order + 1))

    @property
    def device(self) -> torch.device:
        """Device that the tables are on."""
        return self.get_buffer("counts_1").device

    def _contexts(
        self, inputs: Int[Tensor, "batch time"], before: Int[Tensor, "batch lengths"]
    ) -> Int[Tensor, "batch time lengths"]:
        """For each input, return the ids of the contexts that end with it, one per length.

        A context consists of 1, 2, … or order − 1 tokens.

        Args:
            inputs: Token ids.
            before: Ids of the contexts, one per length, that end just before the first input.
        """
        lengths = [inputs]
        for n in range(2, self.order):
            shorter = torch.cat([before[:, n - 2, None], lengths[-1][:, :-1]], dim=1)
            keys = self.get_buffer(f"keys_{n}")
            wanted = shorter * self.vocab_size + inputs  # below 0 after an unknown context
            places = torch.searchsorted(keys, wanted.to(keys.dtype)).clamp(max=len(keys) - 1)
            # For an empty table, `clamp(max=-1)` has made every place -1, which is NEVER.
            found = keys[places] == wanted if len(keys) else places < 0
            lengths.append(torch.where(found, places, NEVER))
        return torch.stack(lengths, dim=-1)[..., : self.order - 1]

    def _distribution(self, contexts: Int[Tensor, "rows lengths"]) -> Float[Tensor, "rows vocab"]:
        """Return the probability of each next token after the given contexts, in double precision.

        The recursion of `rnnlm.ngram` over orders is unrolled from the highest order down: `left`
        is the product of the back-off weights γ of the orders done so far, and the first term of an
        order is multiplied by it. That term is computed only for n-grams that were seen, so only
        order 1 needs work for the whole vocabulary.

        Args:
            contexts: Ids of the contexts of 1, 2, … order − 1 tokens.
        """
        left = torch.ones(len(contexts), dtype=torch.float64, device=self.device)
        added = []
        for n in range(self.order, 1, -1):
            keys, context = self.get_buffer(f"keys_{n}"), contexts[:, n - 2]
            first_key = context * self.vocab_size
            start = torch.searchsorted(keys, first_key.to(keys.dtype))
            end = torch.searchsorted(keys, (first_key + self.vocab_size).to(keys.dtype))
            rows, places = _ranges(start, end)
            # index_select is several times faster than indexing with a tensor.
            counts = self.get_buffer(f"counts_{n}").index_select(0, places)
            taken = self.get_buffer(f"discounts_{n}").index_select(0, counts.clamp(max=3))
            scale = (left / self.get_buffer(f"totals_{n}")[context]).index_select(0, rows)
            tokens = keys.index_select(0, places) - first_key.index_select(0, rows)
            added.append((rows * self.vocab_size + tokens, (counts - taken) * scale))
            left = left * self.get_buffer(f"backoffs_{n}")[context]
        probabilities = torch.outer(left, self.get_buffer("unigrams"))
        for cells, values in reversed(added):
            probabilities.view(-1).index_add_(0, cells, values)
        return probabilities

    def _adopt(self, tables: NGramTables) -> None:
        """Register the tables as buffers; only keys and counts are stored in checkpoints."""
        self._keep("counts_1", tables.unigram_counts)
        self._keep("unigrams", tables.unigrams, stored=False)
        for n, table in enumerate(tables.orders, start=2):
            self._keep(f"keys_{n}", table.keys)
            self._keep(f"counts_{n}", table.counts)
            self._keep(f"discounts_{n}", table.discounts, stored=False)
            self._keep(f"totals_{n}", table.totals, stored=False)
            self._keep(f"backoffs_{n}", table.backoffs, stored=False)

    def _keep(self, name: str, values: np.ndarray[Any, Any], *, stored: bool = True) -> None:
        device = self.device if "counts_1" in self._buffers else None
        self.register_buffer(name, torch.from_numpy(values).to(device), persistent=stored)

    def _array(self, name: str) -> np.ndarray[Any, Any]:
        values: np.ndarray[Any, Any] = self.get_buffer(name).cpu().numpy()
        return values

    def _load_from_state_dict(
        self, state_dict: Mapping[str, Tensor], prefix: str, *arguments: Any
    ) -> None:
        """Load keys and counts from a checkpoint, and compute the other tables from them.

        Overridden because torch can load a buffer only if it already has the right length.
        """
        errors: list[str] = arguments[-1]
        for n in range(2, self.order + 1):
            lengths = set()
            for name in (f"keys_{n}", f"counts_{n}"):
                if (stored := state_dict.get(prefix + name)) is not None:
                    self.register_buffer(name, torch.empty_like(stored, device=self.device))
                    lengths.add(len(stored))
            if len(lengths) > 1:
                errors.append(f"order {n} has a different number of keys than of counts")
        super()._load_from_state_dict(state_dict, prefix, *arguments)
        if not errors:
            self._adopt(self.tables)


def _ranges(
    start: Int[Tensor, " rows"], end: Int[Tensor, " rows"]
) -> tuple[Int[Tensor, " total"], Int[Tensor, " total"]]:
    """List all integers of several ranges, one range per row.

    Returns:
        The number of the row that each integer belongs to, and the integers `start[row]` to
        `end[row] - 1` themselves, both in the order of the rows.
    """
    sizes = end - start
    rows = torch.repeat_interleave(sizes)
    skipped = start - (sizes.cumsum(0) - sizes)
    return rows, torch.arange(len(rows), device=rows.device) + skipped.index_select(0, rows)
