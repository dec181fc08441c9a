"""What a training run measures between two rows of its history: loss, gradient norm, speed."""

import math

import torch
from torch import Tensor

from rnnlm.metrics import NATS_PER_BIT, perplexity
from rnnlm.tokenizer import Tokenizer
from rnnlm.tokens import TokenArrays
from rnnlm.training.divergence import watch_step
from rnnlm.training.run_state import Position, Run

LOOK_STEPS = {"cpu": 1, "cuda": 16}
"""Steps between two transfers of losses to the CPU, by device.

On a GPU they are rare, because each transfer makes the GPU wait.
"""


class Meter:
    """The losses of a run's latest steps, and the metrics that follow from them.

    Attributes:
        uniform_nats: Loss per token of a model that knows nothing, in nats.
        rate: Learning rate of the latest step.
    """

    def __init__(
        self, run: Run, tokenizer: Tokenizer, train: TokenArrays, validation: TokenArrays
    ) -> None:
        """Measure nothing yet.

        Args:
            run: The run. Its position is updated as losses are copied from the device.
            tokenizer: The run's tokenizer; its kind determines the unit of `note`.
            train: The training split.
            validation: The validation split.
        """
        self._run, self._reports_perplexity = run, tokenizer.kind in ("word", "bpe")
        self._validation_tokens = len(validation.tokens)
        characters = max(1, int(train.characters.sum()))
        self._tokens_per_character = len(train.tokens) / characters
        self.uniform_nats = math.log(max(3, tokenizer.vocab_size))
        self.rate = self._gradient_norm = self._train_nats = 0.0
        self._losses: list[tuple[Tensor, Tensor, int]] = []

    @property
    def _position(self) -> Position:
        return self._run.position

    def add(self, nll_nats: Tensor, gradient_norm: Tensor, tokens: int) -> None:
        """Add the loss of the step that was just taken.

        Args:
            nll_nats: Negative log-likelihood of the step's tokens, summed, a scalar on the device.
            gradient_norm: Norm of the gradient before clipping, a scalar on the device.
            tokens: Number of tokens in the step.

        Raises:
            DivergedError: See `look`.
        """
        self._losses.append((nll_nats, gradient_norm, tokens))
        if len(self._losses) >= LOOK_STEPS[nll_nats.device.type]:
            self.look()

    def look(self) -> None:
        """Copy the losses of the last steps from the device, and check them for divergence.

        Raises:
            DivergedError: See `watch_step`.
        """
        position = self._position
        first = position.step - len(self._losses) + 1
        pairs = [value.double() for nll, norm, _ in self._losses for value in (nll, norm)]
        copied = torch.stack(pairs).view(-1, 2).tolist() if pairs else []  # one transfer
        for step, (*_, tokens) in enumerate(self._losses, start=first):
            nll_nats, self._gradient_norm = copied[step - first]
            watch_step(position, step, nll_nats / tokens, self._gradient_norm, self.uniform_nats)
            position.interval_nll_nats += nll_nats
            position.interval_tokens += tokens
        self._losses.clear()

    def forget(self) -> None:
        """Drop the losses that have not been copied from the device."""
        self._losses.clear()

    def row(self) -> dict[str, float]:
        """Return the training metrics since the last row, and start the next row.

        Raises:
            DivergedError: See `look`.
        """
        self.look()
        self._average_interval()
        position = self._position
        row = {
            "step": position.step,
            "tokens": position.tokens,
            "seconds": position.seconds,
            "train/nll_nats_per_token": self._train_nats,
            "train/bits_per_character": self._train_bits,
            "train/learning_rate": self.rate,
            "train/gradient_norm": self._gradient_norm,
            "train/tokens_per_second": position.tokens / max(position.seconds, 1e-9),
        }
        if position.recoveries:
            row["train/recoveries"] = position.recoveries
        position.interval_nll_nats, position.interval_tokens = 0.0, 0
        return row

    def note(self) -> str:
        """Return the training loss, validation score and speed as text for a progress report.

        Scores are perplexities for word and BPE tokenizers, and bits per character for others.
        """
        position = self._position
        self._average_interval()
        if self._reports_perplexity:
            best = perplexity(position.best_nll_nats / self._validation_tokens)
            unit, train = "perplexity", f"{perplexity(self._train_nats):.1f}"
            validation = f"{best:.1f}"
        else:
            best = position.best_bits_per_character
            unit, train, validation = "bits/character", f"{self._train_bits:.3f}", f"{best:.3f}"
        said = f"{train}, validation {validation}" if math.isfinite(best) else train
        return f"{said} {unit}  {position.tokens / max(position.seconds, 1e-9):,.0f} tokens/s"

    def _average_interval(self) -> None:
        """Compute the mean loss per token since the last row of history.

        It stays as it is if no loss has been copied from the device since then.
        """
        if self._position.interval_tokens:
            nll_nats = self._position.interval_nll_nats
            self._train_nats = nll_nats / self._position.interval_tokens

    @property
    def _train_bits(self) -> float:
        """The training loss in bits per character."""
        return self._train_nats * self._tokens_per_character / NATS_PER_BIT
