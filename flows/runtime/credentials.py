"""The password of the Prefect and MLflow servers.

The password is read from the environment variable `RNNLM_PASSWORD`, or from the file that
`RNNLM_PASSWORD_FILE` names. It is never read from a command line, because other users of the
machine can read command lines. If it is set, both servers require it; servers that listen on
non-loopback addresses cannot start without it.
"""

import os
import re
from pathlib import Path

from rnnlm.errors import ConfigError

USER = "rnnlm"
PASSWORD = "RNNLM_PASSWORD"  # noqa: S105 - the name of a variable
PASSWORD_FILE = "RNNLM_PASSWORD_FILE"  # noqa: S105
LEAST_CHARACTERS = 8
_USABLE = re.compile(r"[!-~]*")


def setting() -> str | None:
    """Return the name of the environment variable that sets the password, or None."""
    return next((name for name in (PASSWORD, PASSWORD_FILE) if name in os.environ), None)


def read() -> str | None:
    """Return `rnnlm:PASSWORD`, or None if no password is set.

    Raises:
        ConfigError: The password is too short or has unsupported characters, or its file cannot be
            read. The message never contains the password.
    """
    name = setting()
    if name is None:
        return None
    given = os.environ[name]
    if name == PASSWORD_FILE:
        try:
            given = Path(given).read_text("utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or "not UTF-8 text"
            raise ConfigError(
                f"{PASSWORD_FILE}={given}: {why} (expected a file that contains the password)"
            ) from error
    if len(given) < LEAST_CHARACTERS:
        raise ConfigError(
            f"the password in {name} is too short: {len(given)} characters (expected "
            f"{LEAST_CHARACTERS} or more)"
        )
    if not _USABLE.fullmatch(given):
        raise ConfigError(f"the password in {name} may contain only ASCII characters, no spaces")
    return f"{USER}:{given}"


def refusal() -> str:
    """Return why a server answers with status 401, as the end of an error message.

    Either no password is set, or the server rejects it.
    """
    name = setting()
    if name:
        return f"rejects the password in {name}"
    return f"asks for a password: set {PASSWORD_FILE}=FILE or {PASSWORD}"


def hand_to_clients() -> None:
    """Set the environment variables from which Prefect's and MLflow's clients read the password.

    Variables that are set already are not changed.

    Raises:
        ConfigError: The password cannot be used; see `read`.
    """
    credentials = read()
    if credentials is None:
        return
    for name, value in (
        ("PREFECT_API_AUTH_STRING", credentials),
        ("MLFLOW_TRACKING_USERNAME", USER),
        ("MLFLOW_TRACKING_PASSWORD", credentials.partition(":")[2]),
    ):
        os.environ[name] = os.environ.get(name) or value
