"""Settings of training: how the network learns, and for how long."""

import re
from typing import Literal, NamedTuple, Self

from pydantic import Field, field_validator, model_validator

from rnnlm.config.strict import Config


class Budget(NamedTuple):
    """How long to train: an amount and its unit."""

    amount: float
    unit: Literal["seconds", "tokens", "epochs"]


class TrainingConfig(Config):
    """How the network learns."""

    base: str = Field(default="none", min_length=1)
    """Trained model to start from: `english`, which comes with the package, a registered model, or
    the path of a checkpoint; `none` for random weights. Settings that `model` and `tokenizer` leave
    open are taken from the base."""
    blend: bool = True
    """After training from another model's weights, such as a base's, mix them back into the trained
    ones, in the proportion that gives the best validation score."""
    feed: Literal["documents", "stream"] = "documents"
    """What a step reads. `documents`: whole documents; gradients flow through each, and the state
    is reset between them. `stream`: contiguous text in pieces of `bptt` tokens; the state is
    carried from piece to piece, and gradients are cut between them."""
    batch_size: int = Field(default=32, ge=1, le=65_536)
    """Number of documents, or of parallel lanes of the stream, in one step."""
    bptt: int = Field(default=128, ge=1, le=65_536)
    """Number of tokens through which gradients flow back, for the `stream` feed."""
    optimizer: Literal["adamw", "adam", "sgd", "muon"] = "adamw"
    """AdamW (decoupled weight decay), Adam (decay as an L2 penalty), SGD, or Muon, which learns
    more from each step."""
    learning_rate: float = Field(default=3e-3, gt=0.0, le=100.0)
    """Peak learning rate."""
    momentum: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Momentum of SGD."""
    weight_decay: float = Field(default=0.01, ge=0.0, le=10.0)
    """Weight decay, on matrices only."""
    gradient_clip: float = Field(default=1.0, gt=0.0)
    """Largest L2 norm of the whole gradient; a larger gradient is scaled down to it."""
    schedule: Literal["cosine", "constant", "plateau"] = "cosine"
    """Learning rate after the warm-up: it falls along half a cosine, stays constant, or is
    multiplied by `plateau_factor` after each validation without a new best."""
    warmup: float = Field(default=0.05, ge=0.0, lt=1.0)
    """Share of the budget during which the learning rate rises to its peak."""
    plateau_factor: float = Field(default=0.5, gt=0.0, lt=1.0)
    """Factor of the `plateau` schedule; see `schedule`."""
    averaging: Literal["none", "exponential", "triggered"] = "none"
    """Score and keep an average of the weights instead of the weights of the last step:
    `exponential`, or `triggered`, the mean over all steps since validation first stopped improving
    (NT-ASGD)."""
    average_decay: float = Field(default=0.999, gt=0.0, lt=1.0)
    """Decay per step of the exponential average."""
    trigger: int = Field(default=3, ge=1)
    """Number of validations without a new best score after which the `triggered` average starts;
    fewer than `patience`."""
    label_smoothing: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Share of the target's probability that is spread over the vocabulary during training."""
    sampled_vocabulary: int = Field(default=0, ge=0)
    """Expected number of vocabulary entries in a step's softmax, sampled again for each step; 0 for
    all. For vocabularies of tens of thousands of words, where the softmax is most of the work."""
    activation_penalty: float = Field(default=0.0, ge=0.0)
    """Weight in the loss of the mean square of the last layer's outputs after dropout (α of
    AWD-LSTM)."""
    temporal_penalty: float = Field(default=0.0, ge=0.0)
    """Weight in the loss of the mean square of the outputs' change from one time step to the next
    (β of AWD-LSTM)."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Number format of matrix products; `auto` is bf16 if the processor or GPU supports it."""
    recoveries: int = Field(default=3, ge=0, le=100)
    """Number of times that a diverging training returns to its last good position and continues at
    half the learning rate; if it diverges again, it ends with an error."""
    budget: str = "10 epochs"
    """When to stop: `90 s`, `3 min`, `1 h`, `5M tokens`, `20 epochs`. With a time budget, two runs
    do not give the same result."""
    validations: int = Field(default=20, ge=1, le=10_000)
    """How many times to score the validation split over the budget."""
    validation_tokens: int = Field(default=100_000, ge=1)
    """Largest number of tokens to score each time, from the beginning of the validation split."""
    patience: int = Field(default=5, ge=1)
    """Number of validations in a row without a new best score after which training stops early."""
    canaries: int = Field(default=0, ge=0, le=1000)
    """Number of random secrets to plant in the training text, 1, 4, 16 and 64 times in turn, to
    measure what the model remembers. They can reappear in generated texts, so train a separate
    model for this measurement."""
    seed: int = Field(default=1, ge=0, lt=2**63)
    """Seed of initial weights, document order, dropout and canaries."""
    device: str = Field(default="auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$")
    """`auto` takes a GPU if there is one, otherwise the CPU."""
    processes: int = Field(default=1, ge=1, le=1024)
    """Processes that share each batch; each takes a GPU if there are GPUs."""
    reduce_precision: Literal["fp32", "bf16"] = "fp32"
    """Number format in which the processes send each other their gradients; `bf16` halves what a
    slow network has to carry."""

    @model_validator(mode="after")
    def _the_average_is_triggered_before_patience_ends(self) -> Self:
        if self.averaging == "triggered" and self.trigger >= self.patience:
            raise ValueError(
                f"training.averaging = 'triggered' needs training.trigger ({self.trigger}) below "
                f"training.patience ({self.patience}), which ends the run; raise training.patience"
            )
        return self

    @model_validator(mode="after")
    def _smoothing_is_over_the_whole_vocabulary(self) -> Self:
        if self.sampled_vocabulary and self.label_smoothing:
            raise ValueError(
                "training.label_smoothing spreads over the whole vocabulary, and "
                "training.sampled_vocabulary trains on part of it; set one of them to 0"
            )
        return self

    @model_validator(mode="after")
    def _every_process_has_a_lane(self) -> Self:
        if self.processes > self.batch_size:
            raise ValueError(
                f"training.processes = {self.processes} share training.batch_size = "
                f"{self.batch_size} lanes; expected at least one each"
            )
        return self

    @field_validator("budget")
    @classmethod
    def _budget_is_readable(cls, value: str) -> str:
        parse_budget(value)
        return value


_BUDGET = re.compile(r"^\s*([0-9]*\.?[0-9]+(?:e[0-9]+)?)\s*([kM]?)\s*([a-z]+)\s*$")
_UNITS: dict[str, tuple[float, Literal["seconds", "tokens", "epochs"]]] = {
    **dict.fromkeys(("s", "sec", "second", "seconds"), (1.0, "seconds")),
    **dict.fromkeys(("m", "min", "minute", "minutes"), (60.0, "seconds")),
    **dict.fromkeys(("h", "hour", "hours"), (3600.0, "seconds")),
    **dict.fromkeys(("token", "tokens"), (1.0, "tokens")),
    **dict.fromkeys(("epoch", "epochs"), (1.0, "epochs")),
}


def parse_budget(text: str) -> Budget:
    """Read a training budget such as `90 s`, `5M tokens` or `20 epochs`.

    Raises:
        ValueError: `text` is not a positive amount with a known unit.
    """
    match = _BUDGET.match(text)
    factor, unit = _UNITS.get(match[3], (0.0, "seconds")) if match else (0.0, "seconds")
    scale = {"": 1.0, "k": 1e3, "M": 1e6}[match[2]] if match else 0.0
    amount = float(match[1]) * scale * factor if match else 0.0
    if not 0.0 < amount < 1e18:
        raise ValueError("a budget such as `90 s`, `5M tokens` or `20 epochs`")
    return Budget(amount, unit)
