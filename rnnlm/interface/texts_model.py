"""A trained model, as scripts and notebooks use it."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnnlm.config import Experiment
from rnnlm.engine.loading import load_sampler, user_folder
from rnnlm.engine.opening import Sampler
from rnnlm.generation.streaming import settings_for, stream
from rnnlm.interface.samples import Samples
from rnnlm.storage import atomic_path
from rnnlm.visible import visible_html

if TYPE_CHECKING:
    from rnnlm.checkpoint import LoadedModel
    from rnnlm.metrics import Score

SEEDS = 10**6
"""A seed that is chosen at random is below this."""


class Model:
    """A trained model: it draws texts and scores them.

    `rnnlm.train` and `rnnlm.load` return such models. Nothing is read from the disk until it is
    needed; drawing texts does not import torch.

    Attributes:
        path: Path of its checkpoint.
    """

    def __init__(
        self,
        path: Path,
        *,
        name: str = "",
        digest: str | None = None,
        packed: Path | None = None,
    ) -> None:
        """Refer to a checkpoint.

        Args:
            path: The checkpoint.
            name: What to call the model; by default, the name in its configuration.
            digest: Its sha256; None to compute it when it is needed.
            packed: Folder for its packed form; None for the user's cache.
        """
        self.path, self._name = path, name
        self._digest, self._packed = digest, packed or user_folder()

    def sample(self, count: int = 5, prefix: str = "", **settings: Any) -> Samples:
        """Draw some texts.

        Args:
            count: Number of texts.
            prefix: What each text begins with.
            settings: Other settings of `rnnlm.config.GenerationConfig`, such as `temperature`,
                `top_p`, `max_length`, `grammar`, `given`, `unique`, or `seed`, which is random by
                default. Settings that are not given are the model's own.

        Raises:
            ConfigError: A setting is unknown or out of range.
            TokenizerError: The prefix has characters that the model never saw.
            ConstraintError: No text can satisfy the constraints.
        """
        seed = settings.pop("seed", None)
        seed = random.randrange(SEEDS) if seed is None else seed
        texts = tuple(self.generate(count, prefix=prefix, seed=seed, **settings))
        return Samples(texts, self.experiment.corpus.form, seed)

    def generate(self, count: int, **settings: Any) -> Iterator[str]:
        """Yield texts one after the other, as they are drawn, in little memory.

        Args:
            count: Number of texts.
            settings: Settings, as for `sample`. The seed is the model's own by default, so that the
                same call yields the same texts.

        Raises:
            ConfigError: A setting is unknown or out of range.
            GenerationError: The filters, such as `unique`, refuse nearly all texts.
        """
        sampler = self._sampler(str(settings.pop("precision", None) or "auto"))
        changes = {**settings, "count": count, "precision": sampler.precision}
        texts = stream(sampler, settings_for(sampler, changes))
        return (text.text for text in texts)

    def score(self, text: str | Path | Iterable[str]) -> Score:
        """Return how well the model predicts a text, such as `score(text).bits_per_character`.

        Args:
            text: A text, which is scored as one document; several documents; or the `Path` of a
                file, which is read, cleaned and split into documents as the training text was.

        Raises:
            CorpusError: The file cannot be read.
            EmptySplitError: There is no text.
        """
        from rnnlm import dataset
        from rnnlm.conditioning import header
        from rnnlm.evaluation.scoring import evaluate

        corpus = self.experiment.corpus
        if isinstance(text, Path):
            from rnnlm.evaluation.reading import read_text

            documents = [*read_text(text, corpus, user_folder().parent / "sources")]
        else:
            before = header({}, corpus.condition)
            given = [text] if isinstance(text, str) else text
            documents = [before + document for document in given]
        tokenizer = self._loaded.tokenizer
        arrays = dataset.from_texts(tokenizer, documents)
        return evaluate(self._loaded.model, arrays, tokenizer.lost_id).score

    def save(self, to: str | Path) -> Path:
        """Copy the model's file, which is all that `rnnlm.load` needs; return the copy's path.

        Args:
            to: A file that ends in `.safetensors`, or a folder.

        Raises:
            StorageError: The file cannot be written.
        """
        path = Path(to)
        if path.suffix != ".safetensors":
            path /= f"{self.name.replace('/', '-')}.safetensors"
        with atomic_path(path) as temporary:
            shutil.copyfile(self.path, temporary)
        return path

    @property
    def name(self) -> str:
        """What the model is called."""
        return self._name or self.experiment.name

    @property
    def experiment(self) -> Experiment:
        """The whole configuration that the model was trained with."""
        return self._sampler("auto").experiment

    @cached_property
    def history(self) -> list[dict[str, float]]:
        """The learning curve, as metrics by name for each time that they were measured.

        It is stored beside the checkpoint, not in it. It is empty if there is no such file.
        """
        from rnnlm.training.history import read_history

        return read_history(str(self.path.parent))

    @property
    def bits_per_character(self) -> float:
        """Score on the validation split when the model was trained; lower is better."""
        return float(self._loaded.facts.get("bits_per_character", float("nan")))

    def __repr__(self) -> str:
        """Return the model's name and path."""
        return f"<rnnlm.Model {self.name!r} at {self.path}>"

    def _repr_html_(self) -> str:
        """Return what the model is, its score, its learning curve and two texts, for notebooks."""
        from rnnlm.review.curves import can_draw_curves, draw_curves
        from rnnlm.review.markup import image

        network = self.experiment.model.title
        facts = self._loaded.facts
        said = (
            f"<p><b>{visible_html(self.name)}</b>: {visible_html(network)}, "
            f"{self._loaded.model.parameter_count:,} parameters, "
            f"{self.bits_per_character:.3f} bits per character of held-out text</p>"
        )
        curve = ""
        if can_draw_curves(self.history):
            picture = draw_curves(self.history, int(facts.get("step", 0)), None)
            curve = f'<div style="max-width:44em">{image(picture, "learning curve")}</div>'
        return said + curve + self.sample(2, seed=1)._repr_html_()

    def _sampler(self, precision: str) -> Sampler:
        if precision not in self._samplers:
            self._samplers[precision] = load_sampler(
                self.path, self._packed, self._digest, precision
            )
        return self._samplers[precision]

    @cached_property
    def _samplers(self) -> dict[str, Sampler]:
        return {}

    @cached_property
    def _loaded(self) -> LoadedModel:
        from rnnlm import checkpoint

        return checkpoint.load(self.path)
