"""Addresses of servers and databases in printable form: without passwords."""

import re
from urllib.parse import urlsplit

_IN_QUERY = re.compile(r"((?:password|passwd|token|secret)=)[^&\s'\"]+", re.IGNORECASE)


def is_http(address: str) -> bool:
    """Return whether an address is that of a server (HTTP or HTTPS), not of a database."""
    return urlsplit(address).scheme in ("http", "https")


def redact(address: str) -> str:
    """Return an address without user and password, whatever characters they contain."""
    return re.sub(r"//.*@", "//…@", _IN_QUERY.sub(r"\1…", address), flags=re.DOTALL)


def without_passwords(text: str) -> str:
    """Return a text with the users and passwords removed from its addresses."""
    return re.sub(r"//\S*@", "//…@", _IN_QUERY.sub(r"\1…", text))


def reason(error: Exception) -> str:
    """Return why a request to an address failed, without the address's password."""
    import httpx  # noqa: PLC0415 - takes a tenth of a second

    if isinstance(error, ValueError | httpx.InvalidURL | httpx.UnsupportedProtocol):
        return "not a valid address"  # the error quotes parts of the address
    return without_passwords(" ".join(str(error).split()))


def page(address: str) -> str:
    """Return the address of a page without user and password; a browser asks for them."""
    return redact(address).replace("//…@", "//")
