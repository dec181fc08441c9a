"""What a training run leaves: the names of its files, and the description of the trained model."""

from pydantic import BaseModel, ConfigDict

from rnnlm.engine.precision import PrecisionChoice

BEST_FILE = "best.safetensors"
"""The checkpoint that scored best on validation."""
LAST_FILE = "last.safetensors"
"""The latest position, from which training resumes."""
GOOD_FILE = "good.safetensors"
"""The latest position before the loss rose, to which training returns if it diverges."""
EXPORT_FILE = "model.safetensors"
"""The checkpoint that texts are generated with."""


class TrainedModel(BaseModel):
    """The result of a training run.

    Attributes:
        uri: Folder that holds the checkpoint and the history of metrics.
        checkpoint: Path of the exported checkpoint, the one that scored best on validation.
        digest: sha256 of the exported checkpoint.
        parameters: Number of trained parameters.
        step: Optimizer steps taken in total.
        best_step: Step at which the checkpoint was taken.
        tokens: Tokens trained on; a token is counted again in every epoch.
        validation_bits_per_character: The checkpoint's loss on the validation split, in bits per
            character.
        seconds: Seconds spent training, including earlier runs that this one resumed.
        started_from: sha256 of the checkpoint that the initial weights came from; None if none.
        trained_share: Share s of the trained weights in the exported weights, which are
            s · trained + (1 − s) · initial (see `blend`); 1 if nothing was blended.
        precision: Number format chosen for generation, also stored in the checkpoint; None if the
            model can generate only with 32-bit floats.
    """

    model_config = ConfigDict(frozen=True)

    uri: str
    checkpoint: str
    digest: str
    parameters: int
    step: int
    best_step: int
    tokens: int
    validation_bits_per_character: float
    seconds: float = 0.0
    started_from: str | None = None
    trained_share: float = 1.0
    precision: PrecisionChoice | None = None
