"""The base classes of the chain's stages, and the run, which passes results between stages.

A stage is a class that defines the stage's name, what its result depends on, how the result is
made, and how it is described. A stage gets the result of an earlier stage from the run by that
stage's class, as in `run[Tokenize]`. To *recall* a result is to read it from disk or from the
registry instead of making it again.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from pydantic import BaseModel

from flows.chain import records
from flows.chain.records import Step
from flows.chain.warm_start import Start
from flows.registry import bases
from flows.registry.bases import Base
from flows.runtime import reporting
from flows.runtime.home import Home
from rnnlm.config import Experiment
from rnnlm.corpora.files import SourceFile, locate
from rnnlm.progress import OnProgress

R = TypeVar("R", bound=BaseModel)


class MissingError(Exception):
    """A stage needs a result that does not exist yet.

    Attributes:
        stage: Name of the earliest stage without a result on which this stage depends.
    """

    def __init__(self, stage: str) -> None:
        """Store the name of the stage."""
        super().__init__(stage)
        self.stage = stage


@dataclass
class Run:
    """One run through the chain, with its inputs and the results so far.

    Attributes:
        home: Home that holds all data.
        experiment: Configuration of the model to make.
        tags: Tags for the MLflow run of the model.
        start: Initial weights of the training; None until they are chosen.
        results: Results of the stages so far, by name of the stage.
        missing: For each stage without a result, by name: the name of the first stage that has to
            run before it can have one. Used only for plans.
    """

    home: Home
    experiment: Experiment
    tags: Mapping[str, str] = field(default_factory=dict)
    start: Start | None = None
    results: dict[str, Any] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)

    def __getitem__(self, stage: type["Stage[R]"]) -> R:
        """Return the result of an earlier stage.

        Raises:
            MissingError: The stage has no result. This happens while a run is only planned.
        """
        if stage.name not in self.results:
            raise MissingError(self.missing.get(stage.name, stage.name))
        result: R = self.results[stage.name]
        return result

    @cached_property
    def base(self) -> Base | None:
        """The base that training starts from; None if the experiment names none."""
        return bases.find(self.home, self.experiment)

    @cached_property
    def files(self) -> Sequence[SourceFile]:
        """The source files of the corpus, fetched from the internet if needed."""
        return locate(self.experiment.corpus, self.home.sources, reporting.teller("ingest"))


class Stage(ABC, Generic[R]):
    """A stage of the chain. `stages.CHAIN` lists all stages in order."""

    name: ClassVar[str]

    @abstractmethod
    def recall(self, run: Run) -> R | None:
        """Return the result of an earlier run if it is complete and still valid, else None.

        Raises:
            MissingError: An earlier stage has no result in this run.
        """

    @abstractmethod
    def make(self, run: Run) -> tuple[R, bool]:
        """Recall the result or make it; return the result, and whether it was recalled."""

    @abstractmethod
    def describe(self, run: Run, result: R) -> str:
        """Return a short description of the result, shown to the user when the stage ends."""

    @abstractmethod
    def why(self, run: Run) -> str:
        """Return in a few words why `recall` returns None; shown in the plan."""

    def where(self, run: Run, result: R) -> str:  # noqa: ARG002 - stages differ in what they need
        """Return in a few words what `recall` found; shown in the plan."""
        return "done"


class RecordedStage(Stage[R]):
    """A stage whose result is stored on disk with a record, in a folder named by a key.

    Attributes:
        version: Version of the stage's code; raise it when the code's results change.
        result_type: Type of the result of `work`, a pydantic model.
        folder: Name of the folder under `data/` that holds all results of this stage.
    """

    version: ClassVar[int]
    result_type: ClassVar[type[BaseModel]]
    folder: ClassVar[str]

    @abstractmethod
    def ingredients(self, run: Run) -> Mapping[str, Any]:
        """Return everything that the result depends on, by name; JSON-serializable.

        The key of the result's folder is a digest of it.
        """

    @abstractmethod
    def work(self, run: Run, out: Path, tell: OnProgress) -> R:
        """Make the result, write its files to the folder `out`, and return it.

        Args:
            run: The run, which holds the results of earlier stages.
            out: Folder of the step.
            tell: Function to report progress with.
        """

    def step(self, run: Run) -> Step[R]:
        """Return the step: this stage's work for the inputs of a run, with its key and folder."""
        result_type: Any = self.result_type
        return Step(
            name=self.name,
            version=self.version,
            ingredients=self.ingredients(run),
            result_type=result_type,
            siblings=run.home.data / self.folder / run.experiment.name,
        )

    def recall(self, run: Run) -> R | None:
        """Return the recorded result if all its files exist unchanged, else None."""
        return self.step(run).recall()

    def make(self, run: Run) -> tuple[R, bool]:
        """Return the recorded result, or do the work and record it."""
        with records.attempt(self.step(run)) as attempt:
            if not attempt.is_recalled:
                with reporting.progress(self.name) as tell:
                    attempt.result = self.work(run, attempt.folder, tell)
        return attempt.result, attempt.is_recalled

    def why(self, run: Run) -> str:
        """Return what has changed since the last record."""
        return self.step(run).why()

    def where(self, run: Run, result: R) -> str:  # noqa: ARG002 - the key says it
        """Return the key of the result, in words for the plan."""
        return f"key {self.step(run).key}, files verified"
