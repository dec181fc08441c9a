"""The password of the pages: where it comes from, and how the tools' clients get to know it.

It is read from `RNNLM_PASSWORD`, or from the file that `RNNLM_PASSWORD_FILE` names, never from a
command line, which other users of the machine can read. Setting either protects both pages; on
other addresses than loopback one is required.
"""

import os
import re
from pathlib import Path

from rnnlm.errors import ConfigError

USER = "rnnlm"
PASSWORD = "RNNLM_PASSWORD"  # noqa: S105 - the name of a variable
PASSWORD_FILE = "RNNLM_PASSWORD_FILE"  # noqa: S105
LEAST_CHARACTERS = 8
_USABLE = re.compile(r"[!-~]+")


def setting() -> str | None:
    """Return the name of the variable that says the password, or None where there is none."""
    return next((name for name in (PASSWORD, PASSWORD_FILE) if name in os.environ), None)


def read() -> str | None:
    """Return `rnnlm:PASSWORD`, or None where no password is set.

    Raises:
        ConfigError: It is too short, has characters that HTTP does not carry, or its file cannot be
            read. The message does not hold it.
    """
    name = setting()
    if name is None:
        return None
    given = os.environ[name]
    if name == PASSWORD_FILE:
        try:
            given = Path(given).read_text("utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or "no text"
            raise ConfigError(
                f"{PASSWORD_FILE}={given}: {why} (expected a file with the password)"
            ) from error
    if len(given) < LEAST_CHARACTERS or not _USABLE.fullmatch(given):
        raise ConfigError(
            f"the password in {name} has {len(given)} characters (expected {LEAST_CHARACTERS} "
            "or more, of ASCII letters, digits and signs, no spaces)"
        )
    return f"{USER}:{given}"


def hand_to_clients() -> None:
    """Set what Prefect's and MLflow's clients send, in this process's environment.

    What the tools' own settings already say is kept.

    Raises:
        ConfigError: As `read`.
    """
    credentials = read()
    if credentials is None:
        return
    os.environ.setdefault("PREFECT_API_AUTH_STRING", credentials)
    os.environ.setdefault("MLFLOW_TRACKING_USERNAME", USER)
    os.environ.setdefault("MLFLOW_TRACKING_PASSWORD", credentials.partition(":")[2])
