"""The class of the model that `mlflow.pyfunc.load_model("models:/NAME@champion")` loads.

MLflow stores a copy of this file with the checkpoint and runs the copy to load the model (MLflow's
"models from code"), so nothing is pickled. `predict` has no type hints on purpose: from type hints,
MLflow would derive another signature, without `params`, in place of the one below.
"""

import warnings
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow.models import ModelSignature
from mlflow.pyfunc import PythonModel, PythonModelContext
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema

from rnnlm import checkpoint
from rnnlm.config import override
from rnnlm.engine.drawing import sample_texts

CHECKPOINT_ARTIFACT = "checkpoint"


def signature(defaults: dict[str, Any]) -> ModelSignature:
    """Return the model's MLflow signature: prompts in, texts out, sampling settings in `params`.

    Args:
        defaults: Default value of each sampling setting, by name.
    """
    types = {
        "temperature": DataType.double,
        "top_k": DataType.long,
        "top_p": DataType.double,
        "min_p": DataType.double,
        "repetition_penalty": DataType.double,
        "seed": DataType.long,
        "max_length": DataType.long,
        "count": DataType.long,
    }
    return ModelSignature(
        inputs=Schema([ColSpec(DataType.string, "prompt")]),
        outputs=Schema([ColSpec(DataType.string, "prompt"), ColSpec(DataType.string, "text")]),
        params=ParamSchema([ParamSpec(name, kind, defaults[name]) for name, kind in types.items()]),
    )


with warnings.catch_warnings(record=True):  # MLflow warns that type hints are missing

    class TextGenerator(PythonModel):  # type: ignore[misc]  # untyped
        """Continues prompts with sampled text."""

        def load_context(self, context: PythonModelContext) -> None:
            """Load the packaged checkpoint."""
            self.loaded = checkpoint.load(Path(context.artifacts[CHECKPOINT_ARTIFACT]))

        def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]  # noqa: ARG002
            """Return `count` texts for each prompt, in a data frame.

            Its columns are `prompt` and `text`.

            Args:
                context: MLflow's context; not used.
                model_input: A data frame with a column `prompt`. Each text continues its prompt;
                    with an empty prompt, the model writes a text from the beginning.
                params: Sampling settings: temperature, top_k, top_p, min_p, repetition_penalty,
                    seed, max_length, count.
            """
            prompts = [str(prompt) for prompt in model_input["prompt"]]
            rows: list[dict[str, str]] = []
            for prompt in prompts:
                config = override(
                    self.loaded.experiment.generation,
                    {**(params or {}), "prefix": prompt},
                )
                texts = sample_texts(self.loaded, config)
                rows.extend({"prompt": prompt, "text": text.text} for text in texts)
            return pd.DataFrame(rows, columns=["prompt", "text"])


if __name__ != "flows.registry.packaged":  # MLflow runs this file to load the model
    mlflow.models.set_model(TextGenerator())
