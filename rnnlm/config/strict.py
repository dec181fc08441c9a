"""The base class of all configuration."""

from pydantic import BaseModel, ConfigDict


class Config(BaseModel):
    """Base class of all sections of a configuration.

    Its values are immutable and reject unknown keys. The docstrings of fields are their
    descriptions.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
