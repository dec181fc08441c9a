"""The stage `tokenize`: it turns documents into token ids and writes a report on the corpus."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flows.chain.ingest import Ingest
from flows.chain.stage import RecordedStage, Run
from flows.runtime import workers
from rnnlm.dataset import Tokens
from rnnlm.dataset import tokenize as tokenize_corpus
from rnnlm.progress import OnProgress
from rnnlm.report import write_report


class Tokenize(RecordedStage[Tokens]):
    """Turn documents into token ids, stored in Parquet files."""

    name = "tokenize"
    version = 3
    result_type = Tokens
    folder = "tokens"

    def ingredients(self, run: Run) -> Mapping[str, Any]:
        """Return the digest of the corpus, the tokenizer's settings, and the header's attributes.

        If the tokenizer is the base's, its settings include the digest of the base.
        """
        tokenizer = run.experiment.tokenizer.model_dump()
        if run.experiment.tokenizer.kind == "base":
            tokenizer["base"] = run.base.digest if run.base else None
        return {
            "corpus": run[Ingest].digest,
            "tokenizer": tokenizer,
            "condition": run.experiment.corpus.condition,
        }

    def work(self, run: Run, out: Path, tell: OnProgress) -> Tokens:
        """Learn a vocabulary, or take that of the base; write the tokens and the report."""
        corpus, experiment, base = run[Ingest], run.experiment, run.base
        config, condition = experiment.tokenizer, experiment.corpus.condition
        given = base.tokenizer if base and config.kind == "base" else None
        with workers.executor(sum(corpus.bytes.values())) as executor:
            tokens = tokenize_corpus(
                corpus.uri, corpus.digest, config, out, tell, executor, condition, given
            )
        write_report(experiment.name, corpus, tokens, out)
        return tokens

    def describe(self, run: Run, result: Tokens) -> str:  # noqa: ARG002
        """Return a line with the number of tokens and the size of the vocabulary."""
        return f"{sum(result.tokens.values()):,} tokens, vocabulary {result.vocab_size:,}"
