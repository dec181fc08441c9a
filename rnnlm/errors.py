"""The classes of all errors that a user can cause.

    RnnlmError
    ├── ConfigError          an unknown key, a value out of range, a file that is not TOML
    ├── CorpusError          a source that is missing, empty, not text, or has nothing to learn
    │   ├── EmptySplitError  no document fell into a split
    │   └── FetchError       a file that cannot be fetched, or whose checksum is wrong
    ├── TokenizerError       text that a vocabulary cannot express
    ├── DatasetError         token shards that are missing, damaged or of another schema
    ├── CheckpointError      a checkpoint that is missing, cut short, or of another model
    ├── DivergenceError      training whose loss explodes or rises
    ├── GenerationError      a request for texts that cannot be met
    ├── ConstraintError      rules for texts that contradict each other, a prefix or a vocabulary
    ├── RegistryError        a model, version or alias that the registry does not hold
    ├── DamagedFileError     a file of this program's own that is missing or damaged
    ├── ServerError          a server, database, port or schedule that cannot be used
    ├── StorageError         a disk that is full, a folder that cannot be written
    └── WorkerError          a worker on another machine that differs or is lost

Each message says what was found, what was expected and what to do, in one line. The command line
and the flows print that line without a traceback, and exit with a non-zero status.
"""


class RnnlmError(Exception):
    """Base of all errors whose message tells the user what to do.

    The message is one line: line ends in it, such as those in the name of a file, become spaces.
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(" ".join(message.splitlines()))


class ConfigError(RnnlmError):
    """A configuration that cannot be used."""


class CorpusError(RnnlmError):
    """A corpus that cannot be read or has nothing to learn from."""


class EmptySplitError(CorpusError):
    """A split that no document fell into."""


class FetchError(CorpusError):
    """A file that cannot be fetched, or whose checksum is wrong."""


class TokenizerError(RnnlmError):
    """Text that a tokenizer's vocabulary cannot express, or a broken tokenizer file."""


class DatasetError(RnnlmError):
    """Token shards that are missing, damaged or of another schema."""


class CheckpointError(RnnlmError):
    """A checkpoint that is missing, cut short or belongs to another model."""


class DivergenceError(RnnlmError):
    """Training whose loss explodes or rises, even at lower learning rates."""


class GenerationError(RnnlmError):
    """A request for generated texts that cannot be met."""


class ConstraintError(RnnlmError):
    """Rules for texts that contradict each other, a prefix, a length or a vocabulary."""


class RegistryError(RnnlmError):
    """A model, version or alias that the registry does not hold."""


class DamagedFileError(RnnlmError):
    """A file of this program's own that is missing, damaged, or not of the expected shape."""


class ServerError(RnnlmError):
    """A server, a database, a port or a schedule that cannot be used."""


class StorageError(RnnlmError):
    """A file that cannot be written: full disk, missing permission."""


class WorkerError(RnnlmError):
    """A worker on another machine that differs from this one, or is lost."""
