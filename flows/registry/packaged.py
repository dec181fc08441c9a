"""The class of the model that `mlflow.pyfunc.load_model("models:/NAME@champion")` loads.

MLflow stores a copy of this file with the checkpoint and runs the copy to load the model (MLflow's
"models from code"), so nothing is pickled. `predict` has no type hints on purpose: from type hints,
MLflow would derive another signature, without `params`, in place of the one below.
"""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from mlflow.pyfunc import PythonModel, PythonModelContext
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema
from mlflow.types.schema import Object, Property

from rnnlm.engine.loading import load_sampler, user_folder
from rnnlm.errors import RnnlmError
from rnnlm.generation.prompt import attributes_of
from rnnlm.generation.prompting import Prompt, answer

CHECKPOINT_ARTIFACT = "checkpoint"
PROMPT, GIVEN = "prompt", "given"


def signature(defaults: dict[str, Any], attributes: Sequence[str] = ()) -> ModelSignature:
    """Return the model's MLflow signature: prompts in, texts out, sampling settings in `params`.

    Args:
        defaults: Default value of each sampling setting, by name.
        attributes: Names of the attributes that the model can be given. Each is an optional column
            of the input, and part of the parameter `given`, which holds for all rows.
    """
    types = {
        "temperature": DataType.double,
        "top_k": DataType.long,
        "top_p": DataType.double,
        "min_p": DataType.double,
        "repetition_penalty": DataType.double,
        "max_length": DataType.long,
        "count": DataType.long,
    }
    params = [ParamSpec(name, kind, defaults[name]) for name, kind in types.items()]
    params.append(ParamSpec("seed", DataType.long, None))
    if attributes:
        each = [Property(name, DataType.string, required=False) for name in attributes]
        params.append(ParamSpec(GIVEN, Object(each), {}))
    columns = [ColSpec(DataType.string, name, required=False) for name in attributes]
    return ModelSignature(
        inputs=Schema([ColSpec(DataType.string, PROMPT), *columns]),
        outputs=Schema([ColSpec(DataType.string, PROMPT), ColSpec(DataType.string, "text")]),
        params=ParamSchema(params),
    )


with warnings.catch_warnings(record=True):  # MLflow warns that type hints are missing

    class TextGenerator(PythonModel):  # type: ignore[misc]  # untyped
        """Continues prompts with sampled text."""

        def load_context(self, context: PythonModelContext) -> None:
            """Load the packaged checkpoint."""
            path = Path(context.artifacts[CHECKPOINT_ARTIFACT])
            self.sampler = load_sampler(path, user_folder())

        def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]  # noqa: ARG002
            """Return `count` texts for each prompt, in a data frame.

            Its columns are `prompt` and `text`. All rows are drawn in one batch.

            Args:
                context: MLflow's context; not used.
                model_input: A data frame with a column `prompt`. Each text continues its prompt;
                    with an empty or missing prompt, the model writes a text from the beginning. A
                    model that was trained with attributes, such as `brand`, takes them as further
                    columns.
                params: Sampling settings: temperature, top_k, top_p, min_p, repetition_penalty,
                    max_length, count; attributes for all rows, by name, as `given`; and seed.
                    Without a seed, equal rows get different texts. With one, the texts of a row
                    are always the same.

            Raises:
                MlflowException: A setting is out of range, the model never saw a character of a
                    prompt in training, or it was not trained with an attribute.
            """
            wanted = dict(params or {})
            for_all = wanted.pop(GIVEN, None) or {}
            names = [n for n in attributes_of(self.sampler.experiment) if n in model_input]
            prompts = []
            for row in model_input.to_dict("records"):
                own = {name: row[name] for name in names if not pd.isna(row[name])}
                given = tuple((str(k), str(v)) for k, v in {**for_all, **own}.items())
                text = row[PROMPT]
                prompts.append(Prompt("" if pd.isna(text) else str(text), given))
            try:
                answers = answer(self.sampler, prompts, wanted)
            except RnnlmError as error:
                raise MlflowException(str(error), INVALID_PARAMETER_VALUE) from error
            rows = [
                {PROMPT: prompt.text, "text": text}
                for prompt, texts in zip(prompts, answers, strict=True)
                for text in texts
            ]
            return pd.DataFrame(rows, columns=[PROMPT, "text"])


if __name__ != "flows.registry.packaged":  # MLflow runs this file to load the model
    mlflow.models.set_model(TextGenerator())
