"""The packaged model: what `mlflow.pyfunc.load_model("models:/NAME@champion")` returns.

MLflow copies this file next to the checkpoint and runs it to load a model ("models from code"), so
nothing is pickled. `predict` has no type hints on purpose: they would replace the signature and
drop its `params`.
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
from rnnlm.engine.texts import sample_texts

CHECKPOINT_ARTIFACT = "checkpoint"


def signature(defaults: dict[str, Any]) -> ModelSignature:
    """Return the model's signature: prompts in, texts out, sampling settings in `params`."""
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
            """Return `count` texts for each prompt, as a frame with columns prompt and text.

            Args:
                context: MLflow's context; not used.
                model_input: A frame with a column `prompt`; an empty prompt starts a new text.
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
