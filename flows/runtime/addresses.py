"""Addresses of servers and databases as they are printed: without passwords."""

import re
from urllib.parse import urlsplit

_IN_QUERY = re.compile(r"((?:password|passwd|token|secret)=)[^&\s'\"]+", re.IGNORECASE)


def is_http(address: str) -> bool:
    """Return whether an address is a server's rather than a database's."""
    return urlsplit(address).scheme in ("http", "https")


def redact(address: str) -> str:
    """Return an address without user and password, whatever characters they have."""
    return re.sub(r"//.*@", "//…@", _IN_QUERY.sub(r"\1…", address), flags=re.DOTALL)


def without_passwords(text: str) -> str:
    """Return a text in which no address has a user or password."""
    return re.sub(r"//\S*@", "//…@", _IN_QUERY.sub(r"\1…", text))


def reason(error: Exception) -> str:
    """Return why a request to an address failed, without its password."""
    import httpx  # noqa: PLC0415 - takes a tenth of a second

    if isinstance(error, ValueError | httpx.InvalidURL | httpx.UnsupportedProtocol):
        return "not a valid address"  # the error quotes parts of it
    return without_passwords(" ".join(str(error).split()))


def page(address: str) -> str:
    """Return the address of a page without user and password; a browser asks for them."""
    return redact(address).replace("//…@", "//")
