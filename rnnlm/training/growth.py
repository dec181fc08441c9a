"""Growth texts: what a model writes early in training, later, and at the end.

Each time it continues the same prefixes at the same temperatures with the same random numbers, so
that the texts differ only because of the model. They are stored as JSON lines next to the history.

Writing them does not affect training: a text's random numbers depend only on its number and the
position in it (`rnnlm.sampling`), and weights are only read.
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
"""Shares of the budget after which the model writes; it also writes at the end."""
TEMPERATURES = (0.5, 0.8, 1.1)
TEXTS = 2
"""Texts per prefix and temperature."""
SEED = 1
MOST_TOKENS, FEWEST_TOKENS = 300, 24
"""Bounds of the length limit of a text, in tokens."""
MOST_COST = 0.01
"""Share of the cost of training that all texts together may cost.

The cost is estimated from token counts instead of a clock, so that a resumed run writes the same.
"""
COST = {"native": 1, "model": 16, "cuda": 256}
"""Trained tokens that a sampled token costs, by engine or device: few texts step together."""
LARGEST_TABLE = 1 << 22
"""Largest table of a first layer, in numbers, for which a model in training is packed."""
PREFIX_CHARACTERS = 24
"""Most characters of a prefix; at most a third of the document."""
_LOOKED_AT = 400
"""Tokens of a document that its prefix is taken from."""


class GrowthText(BaseModel):
    """A text that a model wrote while it trained.

    Attributes:
        share: Share of the budget spent so far.
        step: Optimizer steps taken so far.
        tokens: Tokens trained on so far; every epoch counts.
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
    """The growth texts in a run's folder; `write` adds those of the current step."""

    def __init__(self, folder: Path, tokenizer: Tokenizer, prefixes: Sequence[str]) -> None:
        """Store the arguments; no file is read or written yet.

        Args:
            folder: Folder of the run.
            tokenizer: Tokenizer of the model.
            prefixes: Beginnings of the texts, which must consist of known tokens.
        """
        self._path = folder / GROWTH_FILE
        self._tokenizer, self._prefixes = tokenizer, [*prefixes]
        self._count = TEXTS * len(self._prefixes)
        self._share, self._step = 0.0, 0

    def cut(self, step: int) -> None:
        """Drop the texts written after a step, because the later steps will run again.

        Raises:
            StorageError: The file cannot be written.
        """
        texts = [text for text in read_growth(str(self._path.parent)) if text.step <= step]
        write_bytes(self._path, "".join(_line(text) + "\n" for text in texts).encode())
        last = texts[-1] if texts else None
        self._share, self._step = (last.share, last.step) if last else (0.0, 0)

    def is_due(self, share: float) -> bool:
        """Return whether one of `SHARES` was passed since the last texts."""
        return any(self._share < due <= share for due in SHARES)

    def has(self, step: int) -> bool:
        """Return whether the last texts are of this step."""
        return self._step == step

    def write(self, model: LanguageModel, share: float, step: int, tokens: int) -> None:
        """Let the model write, and store the texts; do nothing if a weight is not finite.

        Args:
            model: Model that writes; its mode and weights are unchanged afterwards.
            share: Share of the budget spent so far.
            step: Optimizer steps taken so far.
            tokens: Tokens trained on so far; with `share`, they determine how long texts may be.

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
        """Return the most tokens of a text, given the tokens that the whole training reads."""
        texts = (len(SHARES) + 1) * len(TEMPERATURES) * self._count
        cost = COST["cuda" if model.device.type == "cuda" else how.kind]
        return int(min(MOST_TOKENS, max(FEWEST_TOKENS, MOST_COST * trained / (texts * cost))))

    def _opener(
        self, how: Engine, model: LanguageModel, length: int
    ) -> Callable[[float], engine.Slots]:
        """Return a function that opens slots for a temperature; the model is packed only once."""
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
        """Return pairs of a prefix and a text, grouped by prefix."""
        ended = in_order(engine.run(slots, 0, self._count))
        texts = Decoder(self._tokenizer, self._prefixes).decode(ended).to_pylist()
        rows = [(self._prefixes[n % len(self._prefixes)], text) for n, text in enumerate(texts)]
        return sorted(rows, key=lambda row: self._prefixes.index(row[0]))


def growth_prefixes(
    tokenizer: Tokenizer, arrays: TokenArrays, condition: Sequence[str]
) -> list[str]:
    """Return the prefixes of a run's texts: the beginning of a document, and the empty prefix.

    The document is the first one of the split. The prefix is its header, if it has one, and its
    first words: at most `PREFIX_CHARACTERS`, of known tokens only, cut after a word if possible.

    Args:
        tokenizer: Tokenizer of the split.
        arrays: Tokens of the split.
        condition: Names of the attributes in a header; see `rnnlm.conditioning`.
    """
    ids = arrays.tokens[: min(int(arrays.offsets[1]), _LOOKED_AT)].tolist()
    stops = {BOUNDARY_ID, tokenizer.unknown_id}
    end = next((place for place, index in enumerate(ids) if index in stops), len(ids))
    text = tokenizer.decode(ids[:end]).rstrip("\ufffd")
    header, words = "", text
    if condition:
        words = split_header(text, condition)[1]
        header = text[: len(text) - len(words)]
        if header.count(MARK) < len(condition):  # the header itself was cut
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
    path = Path(uri) / GROWTH_FILE
    if not path.is_file():
        return []
    texts = []
    for line in path.read_text("utf-8").split("\n"):
        try:
            texts.append(GrowthText.model_validate_json(line))
        except ValueError:  # the end, or a line cut short by a full disk or a power cut
            break
    return texts


def _line(text: GrowthText) -> str:
    return json.dumps(text.model_dump())


def _engine(model: LanguageModel) -> Engine:
    """Return the native engine if it exists and packing takes little memory, else the model."""
    table = model.vocab_size * 4 * model.config.hidden_size
    how = engine.choose_engine(model, "fp32")
    if how.kind == "native" and table <= LARGEST_TABLE:
        return how
    return Engine("model", "fp32", "a few texts of a model in training")
