"""How a model's writing grows up: what it wrote early, later and at the end of its training.

Each time it continues the same prefixes at the same temperatures by the same random numbers, so
that what differs between the texts is the model. They are JSON lines beside the history.

Nothing that decides training is touched: a text's random numbers are a function of its number and
position alone (`rnnlm.sampling`), and weights are only read.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict

from rnnlm import engine, sampling
from rnnlm.conditioning import MARK, split_header
from rnnlm.config import GenerationConfig
from rnnlm.constraints import Rules
from rnnlm.engine import Engine
from rnnlm.engine.packing import pack
from rnnlm.engine.texts import Decoder, in_order
from rnnlm.kernels.slots import NativeSlots, SlotSettings
from rnnlm.models import LanguageModel
from rnnlm.storage import append_line, write_bytes
from rnnlm.tokenizer import Tokenizer
from rnnlm.tokens import BOUNDARY_ID, TokenArrays

GROWTH_FILE = "growth.jsonl"
SHARES = (0.01, 0.05, 0.2)
"""Of the budget, after which the model writes; and once more at the end."""
TEMPERATURES = (0.5, 0.8, 1.1)
TEXTS = 2
"""Of each prefix and temperature."""
SEED = 1
MOST_TOKENS, FEWEST_TOKENS = 300, 24
"""Of a text."""
MOST_COST = 0.01
"""Share of the training that all texts may cost, by a reckoning that does not look at a clock, so
that a resumed run writes the same."""
COST = {"native": 1, "model": 16, "cuda": 256}
"""Trained tokens that a sampled one costs, by engine or device: few texts step together."""
LARGEST_TABLE = 1 << 22
"""Numbers of a first layer's table up to which a model is packed for native code as it trains."""
PREFIX_CHARACTERS = 24
"""Of a document, or a third of it where that is less."""
_LOOKED_AT = 400
"""Tokens of a document that are looked at for its prefix."""


class GrowthText(BaseModel):
    """A text that a model wrote while it trained.

    Attributes:
        share: Of the budget that was spent.
        step: Optimizer steps that were taken.
        tokens: Tokens that it had been trained on, each epoch counted.
        temperature: It was drawn at.
        prefix: It was to continue.
        text: Prefix and what was drawn after it.
    """

    model_config = ConfigDict(frozen=True)

    share: float
    step: int
    tokens: int
    temperature: float
    prefix: str
    text: str


class Growth:
    """The texts in a run's folder; `write` adds those of a moment."""

    def __init__(self, folder: Path, tokenizer: Tokenizer, prefixes: Sequence[str]) -> None:
        """Keep what is needed to write; nothing is read or written yet.

        Args:
            folder: The run's.
            tokenizer: The model's own.
            prefixes: What the texts begin with, all of known tokens.
        """
        self._path = folder / GROWTH_FILE
        self._tokenizer, self._prefixes = tokenizer, [*prefixes]
        self._count = TEXTS * len(self._prefixes)
        self._share, self._step = 0.0, 0

    def cut(self, step: int) -> None:
        """Drop the texts after a step, which will be run again.

        Raises:
            StorageError: The file cannot be written.
        """
        texts = [text for text in read_growth(str(self._path.parent)) if text.step <= step]
        write_bytes(self._path, "".join(_line(text) + "\n" for text in texts).encode())
        last = texts[-1] if texts else None
        self._share, self._step = (last.share, last.step) if last else (0.0, 0)

    def is_due(self, share: float) -> bool:
        """Return whether a share of `SHARES` was passed since the last texts."""
        return any(self._share < due <= share for due in SHARES)

    def has(self, step: int) -> bool:
        """Return whether there are texts of this step."""
        return self._step == step

    def write(self, model: LanguageModel, share: float, step: int, tokens: int) -> None:
        """Let the model write, and add the texts; nothing where its weights have left the numbers.

        Args:
            model: Left in the mode it was in, and with the weights it had.
            share: Of the budget that is spent.
            step: Steps taken.
            tokens: Tokens trained on; with `share` they say how long texts may be.

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
        """Return the most tokens of a text, by how many tokens the whole training reads."""
        texts = (len(SHARES) + 1) * len(TEMPERATURES) * self._count
        cost = COST["cuda" if model.device.type == "cuda" else how.kind]
        return int(min(MOST_TOKENS, max(FEWEST_TOKENS, MOST_COST * trained / (texts * cost))))

    def _opener(
        self, how: Engine, model: LanguageModel, length: int
    ) -> Callable[[float], engine.Slots]:
        """Return what opens slots for a temperature; a model is packed once for all of them."""
        if how.kind == "native":
            network = pack(model, torch.float32, self._tokenizer.unknown_id)
            given = [self._tokenizer.encode(text).astype(np.int32) for text in self._prefixes]

            def open_native(temperature: float) -> engine.Slots:
                settings = SlotSettings(
                    log2_inverse_temperature=sampling.log2_inverse_temperature(temperature),
                    penalty=1.0,
                    top_k=0,
                    top_p=1.0,
                    least=sampling.least(0.0),
                    min_length=0,
                    max_length=length,
                )
                return NativeSlots(network, settings, self._count, SEED, given)

            return open_native

        def open_plain(temperature: float) -> engine.Slots:
            config = GenerationConfig(
                count=self._count,
                batch_size=self._count,
                seed=SEED,
                temperature=temperature,
                max_length=length,
            )
            rules = Rules(tuple(self._prefixes))
            return engine.open_slots(how, model, self._tokenizer, config, rules)

        return open_plain

    def _texts(self, slots: engine.Slots) -> list[tuple[str, str]]:
        """Return prefixes and texts, those of a prefix together."""
        ended = in_order(engine.run(slots, 0, self._count))
        texts = Decoder(self._tokenizer, self._prefixes).decode(ended).to_pylist()
        rows = [(self._prefixes[n % len(self._prefixes)], text) for n, text in enumerate(texts)]
        return sorted(rows, key=lambda row: self._prefixes.index(row[0]))


def growth_prefixes(
    tokenizer: Tokenizer, arrays: TokenArrays, condition: Sequence[str]
) -> list[str]:
    """Return what a run's texts begin with: the beginning of a split's first document, and nothing.

    The beginning is what the document is told, if anything, and its first words: at most
    `PREFIX_CHARACTERS`, cut behind a word where there is one, of known tokens only.

    Args:
        tokenizer: The split's own.
        arrays: The split.
        condition: Attributes that a text is told; see `rnnlm.conditioning`.
    """
    ids = arrays.tokens[: min(int(arrays.offsets[1]), _LOOKED_AT)].tolist()
    stops = {BOUNDARY_ID, tokenizer.unknown_id}
    end = next((place for place, index in enumerate(ids) if index in stops), len(ids))
    text = tokenizer.decode(ids[:end]).rstrip("\ufffd")
    header, words = "", text
    if condition:
        words = split_header(text, condition)[1]
        header = text[: len(text) - len(words)]
        if header.count(MARK) < len(condition):  # cut before all was told
            header, words = text, ""
    length = min(PREFIX_CHARACTERS, max(1, len(words) // 3))
    beginning = words[:length]
    if beginning != words and not words[length : length + 1].isspace():
        beginning = beginning[: max(beginning.rfind(" "), beginning.rfind("\n")) + 1] or beginning
    return [*dict.fromkeys((header + beginning.rstrip(), ""))]


def read_growth(uri: str) -> list[GrowthText]:
    """Return what the model of a run wrote while it trained, oldest first; nothing if it did not.

    Args:
        uri: Folder of the run.
    """
    path = Path(uri) / GROWTH_FILE
    if not path.is_file():
        return []
    texts = []
    for line in path.read_text("utf-8").split("\n"):
        try:
            texts.append(GrowthText.model_validate_json(line))
        except ValueError:  # the end, or a line that a full disk or a power cut left torn
            break
    return texts


def _line(text: GrowthText) -> str:
    return json.dumps(text.model_dump())


def _engine(model: LanguageModel) -> Engine:
    """Return native code where it is there and packing costs little memory, else the model."""
    table = model.vocab_size * 4 * model.config.hidden_size
    how = engine.choose_engine(model, "fp32")
    if how.kind == "native" and table <= LARGEST_TABLE:
        return how
    return Engine("model", "fp32", "a few texts of a model in training")
