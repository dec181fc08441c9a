"""Make addresses of servers and databases printable by removing passwords from them."""

import re
from urllib.parse import urlsplit

_IN_QUERY = re.compile(r"((?:password|passwd|token|secret)=)[^&\s'\"]+", re.IGNORECASE)


def is_http(address: str) -> bool:
    """Return whether an address belongs to a web server (HTTP or HTTPS), not to a database."""
    return urlsplit(address).scheme in ("http", "https")


def redact(address: str) -> str:
    """Return an address with `…` in place of the user, the password and other secrets.

    The user and the password may contain any characters.
    """
    return re.sub(r"//.*@", "//…@", _IN_QUERY.sub(r"\1…", address), flags=re.DOTALL)


def without_passwords(text: str) -> str:
    """Return a text with `…` in place of all users and passwords in the addresses it contains."""
    return re.sub(r"//\S*@", "//…@", _IN_QUERY.sub(r"\1…", text))


def reason(error: Exception) -> str:
    """Return in one line why a request to an address failed, without passwords."""
    import httpx  # noqa: PLC0415 - takes a tenth of a second

    if isinstance(error, ValueError | httpx.InvalidURL | httpx.UnsupportedProtocol):
        return "not a valid address"  # the error's own message quotes the address
    return without_passwords(" ".join(str(error).split()))


def page(address: str) -> str:
    """Return the address of a web page without user and password, for the user to open.

    The browser asks for the user and the password if they are needed.
    """
    return redact(address).replace("//…@", "//")
