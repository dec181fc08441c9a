"""Growth texts: samples from a model at several points of its training, which show its progress.

At each point, the model continues the same prefixes at the same temperatures with the same random
numbers, so that the texts differ only because the weights do. They are stored as JSON lines in the
run's folder.

Sampling does not affect training: weights are only read, and a text's random numbers depend only on
its number and the position in it (`rnnlm.sampling`), not on the generator that training uses.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict

from rnnlm.conditioning import MARK, split_header
from rnnlm.config import GenerationConfig
from rnnlm.constraints import Rules
from rnnlm.engine import running
from rnnlm.engine.packing import pack
from rnnlm.engine.running import Engine
from rnnlm.engine.texts import Decoder
from rnnlm.kernels.slots import NativeSlots, SlotSettings, in_order, least, log2_inverse_temperature
from rnnlm.models import LanguageModel
from rnnlm.saved import read_lines
from rnnlm.storage import append_line, write_bytes
from rnnlm.tokenizer import Tokenizer
from rnnlm.tokens import BOUNDARY_ID, TokenArrays

GROWTH_FILE = "growth.jsonl"
SHARES = (0.01, 0.05, 0.2)
"""Shares of the training budget after which texts are sampled; they are also sampled at the end."""
TEMPERATURES = (0.5, 0.8, 1.1)
TEXTS = 2
"""Number of texts per prefix and temperature."""
SEED = 1
MOST_TOKENS, FEWEST_TOKENS = 300, 24
"""Upper and lower bound of the length limit of a text, in tokens.

The limit itself depends on the length of the training; see `Growth._length`.
"""
MOST_COST = 0.01
"""Largest cost of all growth texts together, as a share of the cost of training.

The cost is estimated from token counts instead of a clock, so that a resumed run samples the same
texts as one that was not interrupted.
"""
COST = {"native": 1, "model": 16, "cuda": 256}
"""Cost of sampling one token, in tokens of training, by engine or device.

A sampled token is expensive on a GPU because only a few texts are sampled at the same time.
"""
LARGEST_TABLE = 1 << 22
"""Most numbers in the first layer's lookup table for which the native engine is used.

The native engine needs a packed copy of the model, in which the first layer is a table with a row
per token. A larger table would take too much memory during training.
"""
PREFIX_CHARACTERS = 24
"""Most characters of a prefix; a prefix is also at most a third of its document."""
_LOOKED_AT = 400
"""Number of tokens at the beginning of a document that its prefix is taken from."""


class GrowthText(BaseModel):
    """A text that was sampled from a model during its training.

    Attributes:
        share: Share of the training budget spent so far.
        step: Optimizer steps taken so far.
        tokens: Tokens trained on so far; a token is counted again in every epoch.
        temperature: Sampling temperature.
        prefix: Text that the model had to continue.
        text: The prefix followed by the sampled text.
    """

    model_config = ConfigDict(frozen=True)

    share: float
    step: int
    tokens: int
    temperature: float
    prefix: str
    text: str


class Growth:
    """The file of growth texts in a run's folder; `write` appends texts of the current step."""

    def __init__(self, folder: Path, tokenizer: Tokenizer, prefixes: Sequence[str]) -> None:
        """Store the arguments; no file is read or written yet.

        Args:
            folder: Folder of the run.
            tokenizer: Tokenizer of the model.
            prefixes: Beginnings of the texts. They must be free of unknown tokens.
        """
        self._path = folder / GROWTH_FILE
        self._tokenizer, self._prefixes = tokenizer, [*prefixes]
        self._count = TEXTS * len(self._prefixes)
        self._share, self._step = 0.0, 0

    def cut(self, step: int) -> None:
        """Delete the texts written after a step, because the later steps will run again.

        Raises:
            StorageError: The file cannot be written.
        """
        texts = [text for text in read_growth(str(self._path.parent)) if text.step <= step]
        write_bytes(self._path, "".join(_line(text) + "\n" for text in texts).encode())
        last = texts[-1] if texts else None
        self._share, self._step = (last.share, last.step) if last else (0.0, 0)

    def is_due(self, share: float) -> bool:
        """Return whether texts are due: whether one of `SHARES` was passed since the last texts.

        Args:
            share: Share of the training budget spent so far.
        """
        return any(self._share < due <= share for due in SHARES)

    def has(self, step: int) -> bool:
        """Return whether the last texts in the file were sampled at this step."""
        return self._step == step

    def write(self, model: LanguageModel, share: float, step: int, tokens: int) -> None:
        """Sample texts from the model and store them; do nothing if a weight is not finite.

        Args:
            model: Model to sample from. Its weights are not changed, and it is returned to its
                mode (training or evaluation).
            share: Share of the training budget spent so far.
            step: Optimizer steps taken so far.
            tokens: Tokens trained on so far. `tokens / share` estimates the length of the whole
                training, which determines how long the texts may be.

        Raises:
            StorageError: The file cannot be written.
        """
        if not all(bool(parameter.isfinite().all()) for parameter in model.parameters()):
            return
        was_training = model.training
        model.eval()
        how = _engine(model)
        length = self._length(how, model, tokens / max(share, 1e-9))
        moment = {"share": round(share, 4), "step": step, "tokens": tokens}
        with torch.no_grad():
            open_slots = self._opener(how, model, length)
            lines = [
                _line(GrowthText(**moment, temperature=temperature, prefix=prefix, text=text))
                for temperature in TEMPERATURES
                for prefix, text in self._texts(open_slots(temperature))
            ]
        model.train(was_training)
        append_line(self._path, "\n".join(lines))
        self._share, self._step = round(share, 4), step

    def _length(self, how: Engine, model: LanguageModel, trained: float) -> int:
        """Return the length limit of a text, in tokens, so that all texts stay within `MOST_COST`.

        Args:
            how: Engine that samples the texts.
            model: Model to sample from.
            trained: Estimated number of tokens that the whole training reads.
        """
        texts = (len(SHARES) + 1) * len(TEMPERATURES) * self._count
        cost = COST["cuda" if model.device.type == "cuda" else how.kind]
        return int(min(MOST_TOKENS, max(FEWEST_TOKENS, MOST_COST * trained / (texts * cost))))

    def _opener(
        self, how: Engine, model: LanguageModel, length: int
    ) -> Callable[[float], running.Slots]:
        """Return a function that takes a temperature and returns slots that are ready for sampling.

        The native engine needs the model in packed form; packing is done here, once for all
        temperatures.
        """
        if how.kind == "native":
            network = pack(model, torch.float32, self._tokenizer.unknown_id)
            given = [self._tokenizer.encode(text).astype(np.int32) for text in self._prefixes]

            def open_native(temperature: float) -> running.Slots:
                settings = SlotSettings(
                    log2_inverse_temperature=log2_inverse_temperature(temperature),
                    penalty=1.0,
                    top_k=0,
                    top_p=1.0,
                    least=least(0.0),
                    min_length=0,
                    max_length=length,
                )
                return NativeSlots(network, settings, self._count, SEED, given)

            return open_native

        def open_plain(temperature: float) -> running.Slots:
            config = GenerationConfig(
                count=self._count,
                batch_size=self._count,
                seed=SEED,
                temperature=temperature,
                max_length=length,
            )
            rules = Rules(tuple(self._prefixes))
            return running.open_slots(how, model, self._tokenizer, config, rules)

        return open_plain

    def _texts(self, slots: running.Slots) -> list[tuple[str, str]]:
        """Sample all texts; return pairs of a prefix and a text, grouped by prefix."""
        ended = in_order(running.run(slots, 0, self._count))
        texts = Decoder(self._tokenizer, self._prefixes).decode(ended).to_pylist()
        rows = [(self._prefixes[n % len(self._prefixes)], text) for n, text in enumerate(texts)]
        return sorted(rows, key=lambda row: self._prefixes.index(row[0]))


def growth_prefixes(
    tokenizer: Tokenizer, arrays: TokenArrays, condition: Sequence[str]
) -> list[str]:
    """Return the prefixes of a run's growth texts: the beginning of a document, and the empty text.

    The document is the first one of the split. The prefix consists of its header, if it has one,
    and of its first words: at most `PREFIX_CHARACTERS` characters, ending before the first unknown
    token, and at the end of a word if possible.

    Args:
        tokenizer: Tokenizer of the split.
        arrays: Tokens of the split.
        condition: Names of the attributes in a document's header (the setting
            `corpus.condition`); empty if documents have none. See `rnnlm.conditioning`.
    """
    ids = arrays.tokens[: min(int(arrays.offsets[1]), _LOOKED_AT)].tolist()
    stops = {BOUNDARY_ID, tokenizer.unknown_id}
    end = next((place for place, index in enumerate(ids) if index in stops), len(ids))
    text = tokenizer.decode(ids[:end]).rstrip("\ufffd")
    header, words = "", text
    if condition:
        words = split_header(text, condition)[1]
        header = text[: len(text) - len(words)]
        if header.count(MARK) < len(condition):  # the document was cut inside its header
            header, words = text, ""
    length = min(PREFIX_CHARACTERS, max(1, len(words) // 3))
    beginning = words[:length]
    if beginning != words and not words[length : length + 1].isspace():
        beginning = beginning[: max(beginning.rfind(" "), beginning.rfind("\n")) + 1] or beginning
    return [*dict.fromkeys((header + beginning.rstrip(), ""))]


def read_growth(uri: str) -> list[GrowthText]:
    """Return the growth texts of a run, oldest first; an empty list if there are none.

    Args:
        uri: Folder of the run.
    """
    return read_lines(Path(uri) / GROWTH_FILE, GrowthText)


def _line(text: GrowthText) -> str:
    return json.dumps(text.model_dump())


def _engine(model: LanguageModel) -> Engine:
    """Return the native engine if it is available and needs little memory, else plain PyTorch."""
    table = model.vocab_size * 4 * model.config.hidden_size
    how = running.choose_engine(model, "fp32")
    if how.kind == "native" and table <= LARGEST_TABLE:
        return how
    return Engine("model", "fp32", "a few texts of a model in training")
