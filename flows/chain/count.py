"""The stage `count`: it counts n-grams, to get baseline models for the neural network."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flows.chain.ingest import Ingest
from flows.chain.stage import RecordedStage, Run
from flows.chain.tokenize import Tokenize
from flows.runtime import workers
from rnnlm.config import ModelConfig, TokenizerConfig
from rnnlm.dataset import tokenize as tokenize_corpus
from rnnlm.evaluation.results import CHARACTERS
from rnnlm.progress import OnProgress
from rnnlm.training.trained import TrainedModel


class Count(RecordedStage[TrainedModel]):
    """Turn tokens into two n-gram models: one of the tokens, and one of characters.

    The first has the same vocabulary as the neural network. The second does not depend on the
    tokenizer. If each token is a character, one model serves as both.
    """

    name = "count"
    version = 3
    result_type = TrainedModel
    folder = "baselines"

    def ingredients(self, run: Run) -> Mapping[str, Any]:
        """Return the digest of the tokens, and the number of validation tokens to score on."""
        return {
            "tokens": run[Tokenize].digest,
            "validation_tokens": run.experiment.training.validation_tokens,
        }

    def work(self, run: Run, out: Path, tell: OnProgress) -> TrainedModel:
        """Count n-grams of tokens and, unless each token is a character, of characters as well."""
        from rnnlm.training.api import train  # noqa: PLC0415 - imports torch

        corpus, experiment = run[Ingest], run.experiment
        plain = experiment.training.model_copy(update={"canaries": 0})
        ngram = ModelConfig(architecture="ngram")
        counted = experiment.model_copy(update={"model": ngram, "training": plain})
        own = train(run[Tokenize].uri, counted, out, tell)
        if experiment.tokenizer.kind == "character":
            return own
        folder, condition = out / CHARACTERS, experiment.corpus.condition
        spelled = TokenizerConfig(kind="character")
        with workers.executor(sum(corpus.bytes.values())) as executor:
            tokenize_corpus(corpus.uri, corpus.digest, spelled, folder, tell, executor, condition)
        bits = train(str(folder), counted, folder, tell).validation_bits_per_character
        return own.model_copy(update={"validation_bits_per_character": bits})

    def describe(self, run: Run, result: TrainedModel) -> str:  # noqa: ARG002
        """Return a line with the number of n-grams and their validation score."""
        bits = result.validation_bits_per_character
        return f"{result.parameters:,} n-grams, validation {bits:.3f} bits/character"
