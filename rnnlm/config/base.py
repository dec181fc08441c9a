"""The base class of all configuration."""

from pydantic import BaseModel, ConfigDict


class Config(BaseModel):
    """Base of all configuration: frozen, no unknown keys, field docstrings as descriptions."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
