"""The shape of the network."""

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from rnnlm.config.strict import Config

Architecture = Literal["simple", "gru", "lstm", "mogrifier", "mingru", "ngram"]

_Share = Field(default=None, ge=0.0, lt=1.0)

_ONLY_FOR: dict[str, tuple[str, ...]] = {
    "nonlinearity": ("simple",),
    "mogrifier_rounds": ("mogrifier",),
    "convolution": ("mingru",),
    "mlp_ratio": ("mingru",),
    "ngram_order": ("ngram",),
    "weight_dropout": ("simple", "gru", "lstm", "mogrifier"),
}


class ModelConfig(Config):
    """The shape of the network, and its dropout during training."""

    architecture: Architecture = "lstm"
    """Kind of model; see the table in `rnnlm.models`."""
    embedding_size: int = Field(default=64, ge=1, le=16_384)
    """Number of features of a token's embedding."""
    hidden_size: int = Field(default=256, ge=1, le=16_384)
    """Number of features of a layer's hidden state."""
    num_layers: int = Field(default=1, ge=1, le=32)
    """Number of stacked recurrent layers."""
    last_size: int | None = Field(default=None, ge=1, le=16_384)
    """Number of features of the last layer's hidden state; by default `hidden_size`."""
    tie_weights: bool = False
    """Use the embedding as the output matrix too; its size must equal the last layer's."""
    learned_start: bool = False
    """Learn the initial state; otherwise it is zero."""
    nonlinearity: Literal["sigmoid", "tanh"] = "sigmoid"
    """Activation function of the simple RNN, σ in its equations."""
    mogrifier_rounds: int = Field(default=5, ge=1, le=10)
    """Rounds in which the Mogrifier LSTM's input and state gate each other."""
    convolution: int = Field(default=4, ge=1, le=64)
    """Number of tokens that minGRU's short convolution spans; 1 for no convolution."""
    mlp_ratio: float = Field(default=2.0, ge=0.0, le=8.0)
    """Width of minGRU's feed-forward part, divided by `hidden_size`; 0 for no such part."""
    ngram_order: int = Field(default=6, ge=1, le=6)
    """Number of tokens of the longest n-gram, the predicted token included."""
    dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Probability that a feature is dropped, the same for the inputs, between layers and for the
    outputs, unless one of the next three settings overrides it."""
    input_dropout: float | None = _Share
    """Dropout of the embeddings that enter the first layer; by default `dropout`."""
    layer_dropout: float | None = _Share
    """Dropout between layers; by default `dropout`."""
    output_dropout: float | None = _Share
    """Dropout of the last layer's outputs; by default `dropout`."""
    locked_dropout: bool = True
    """Drop the same features at every time step of a sequence (variational dropout)."""
    embedding_dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Probability that a token's whole embedding is zero throughout a training step."""
    weight_dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Probability that a recurrent weight is zero throughout a training step (DropConnect)."""

    @property
    def title(self) -> str:
        """Short name of the model, such as `lstm 2×256` or `6-grams`."""
        if self.architecture == "ngram":
            return f"{self.ngram_order}-grams"
        return f"{self.architecture} {self.num_layers}×{self.hidden_size}"

    @property
    def layer_sizes(self) -> tuple[int, ...]:
        """Number of features of each layer's hidden state."""
        return (self.hidden_size,) * (self.num_layers - 1) + (self.last_size or self.hidden_size,)

    @model_validator(mode="after")
    def _settings_are_of_the_architecture(self) -> Self:
        for name, architectures in _ONLY_FOR.items():
            default: Any = type(self).model_fields[name].default
            if getattr(self, name) != default and self.architecture not in architectures:
                raise ValueError(
                    f"model.{name} is for {' and '.join(architectures)}, not for "
                    f"{self.architecture}; leave it out"
                )
        return self

    @model_validator(mode="after")
    def _tied_sizes_are_equal(self) -> Self:
        if self.tie_weights and self.layer_sizes[-1] != self.embedding_size:
            raise ValueError(
                f"model.tie_weights needs model.embedding_size ({self.embedding_size}) to be the "
                f"last layer's size ({self.layer_sizes[-1]}); set model.last_size = "
                f"{self.embedding_size} or leave the weights untied"
            )
        return self
