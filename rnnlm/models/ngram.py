"""Modified Kneser–Ney n-grams with the interface of the recurrent models; see `rnnlm.ngram`.

The state of an n-gram model holds the ids of the contexts that the last tokens form, so that a step
is one look-up per order. The tables are buffers and are therefore stored like weights: the adjusted
counts of every order, and the keys of every order above 1. Everything else is derived from them.
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
"""Most tokens to count: all keys of an order are sorted in memory, at 20 bytes per token."""
_MOST_PROBABILITIES = 1 << 22
"""Most probabilities to hold at once in double precision: 32 MB, and as much again per order."""


class NGramLanguageModel(LanguageModel):
    """An n-gram model; it is empty, and therefore uniform, until it is fitted or loaded."""

    def __init__(self, config: ModelConfig, vocab_size: int) -> None:
        """Make an empty model of order `config.ngram_order`."""
        super().__init__(config, vocab_size)
        self.order = config.ngram_order
        nothing = np.zeros(0, dtype=np.int32)
        empty = [nothing] * (self.order - 1)
        self._adopt(tables_of(np.zeros(vocab_size, dtype=np.int32), empty, empty))

    def fit(self, arrays: TokenArrays, on_progress: OnProgress = silent) -> None:
        """Count the n-grams of a training split; earlier counts are replaced.

        Of a split longer than `MOST_COUNTED`, only the first documents are counted.

        Raises:
            EmptySplitError: There is nothing to count.
        """
        counted = arrays.first(MOST_COUNTED) if len(arrays.tokens) > MOST_COUNTED else arrays
        self._adopt(count(counted, self.vocab_size, self.order, on_progress))

    @property
    def tables(self) -> NGramTables:
        """The counts as arrays, for `rnnlm.ngram.score`; they share the model's memory."""
        counts = [self._array(f"counts_{n}") for n in range(1, self.order + 1)]
        keys = [self._array(f"keys_{n}") for n in range(2, self.order + 1)]
        return tables_of(counts[0], keys, counts[1:])

    def forward(
        self, inputs: Int[Tensor, "batch time"], state: State
    ) -> tuple[Float[Tensor, "batch time vocab"], State]:
        """Return the logarithm of each next token's probability, and the state."""
        contexts = self._contexts(inputs, state[0])
        rows = contexts.flatten(0, 1)
        at_once = max(1, _MOST_PROBABILITIES // self.vocab_size)
        logits = torch.empty((len(rows), self.vocab_size), device=self.device)
        for start in range(0, len(rows), at_once):
            part = slice(start, start + at_once)
            logits[part] = self._distribution(rows[part]).log_()
        return logits.view(*inputs.shape, self.vocab_size), (contexts[:, -1],)

    def initial_state(self, batch_size: int) -> State:
        """Return `NEVER` for the contexts of 1, 2, … tokens; shape (batch, order − 1)."""
        shape = (batch_size, self.order - 1)
        return (torch.full(shape, NEVER, dtype=torch.int64, device=self.device),)

    @property
    def parameter_count(self) -> int:
        """Number of n-grams stored."""
        return sum(self.get_buffer(f"counts_{n}").numel() for n in range(1, self.order + 1))

    @property
    def device(self) -> torch.device:
        """Device that the tables are on."""
        return self.get_buffer("counts_1").device

    def _contexts(
        self, inputs: Int[Tensor, "batch time"], before: Int[Tensor, "batch lengths"]
    ) -> Int[Tensor, "batch time lengths"]:
        """Return the ids of the contexts of 1, 2, … order − 1 tokens that end at each input."""
        lengths = [inputs]
        for n in range(2, self.order):
            shorter = torch.cat([before[:, n - 2, None], lengths[-1][:, :-1]], dim=1)
            keys = self.get_buffer(f"keys_{n}")
            wanted = shorter * self.vocab_size + inputs  # below 0 for a context never seen
            places = torch.searchsorted(keys, wanted.to(keys.dtype)).clamp(max=len(keys) - 1)
            # In an empty table, the clamped place is already NEVER.
            found = keys[places] == wanted if len(keys) else places < 0
            lengths.append(torch.where(found, places, NEVER))
        return torch.stack(lengths, dim=-1)[..., : self.order - 1]

    def _distribution(self, contexts: Int[Tensor, "rows lengths"]) -> Float[Tensor, "rows vocab"]:
        """Return the probability of each next token, in double precision.

        The recurrence is unrolled, so that only the lowest order touches the whole vocabulary. What
        an order adds is weighted by the probability that all higher orders leave to it.
        """
        left = torch.ones(len(contexts), dtype=torch.float64, device=self.device)
        added = []
        for n in range(self.order, 1, -1):
            keys, context = self.get_buffer(f"keys_{n}"), contexts[:, n - 2]
            first_key = context * self.vocab_size
            start = torch.searchsorted(keys, first_key.to(keys.dtype))
            end = torch.searchsorted(keys, (first_key + self.vocab_size).to(keys.dtype))
            rows, places = _ranges(start, end)
            # index_select gathers several times faster than indexing does.
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
        """Store the tables, and the values that are derived from the counts."""
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
        """Allocate tables of the lengths to be loaded, load them, and derive the rest."""
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
    """Return the row and the place of each place from a row's `start` to before its `end`."""
    sizes = end - start
    rows = torch.repeat_interleave(sizes)
    skipped = start - (sizes.cumsum(0) - sizes)
    return rows, torch.arange(len(rows), device=rows.device) + skipped.index_select(0, rows)
