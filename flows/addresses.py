"""Addresses of servers and databases as they are printed: without passwords."""

import re
from urllib.parse import urlsplit

_BEFORE_HOST = re.compile(r"(//[^/\s:@]*:)[^\s]*?@(?=[^\s@]*(?:[\s]|$))")
_IN_QUERY = re.compile(r"((?:password|passwd|token|secret)=)[^&\s'\"]+", re.IGNORECASE)


def is_http(address: str) -> bool:
    """Return whether an address is a server's rather than a database's."""
    return urlsplit(address).scheme in ("http", "https")


def shown(text: str) -> str:
    """Return an address, or a text that holds some, without passwords."""
    return _IN_QUERY.sub(r"\1…", _BEFORE_HOST.sub(r"\1…@", text))


def page(address: str) -> str:
    """Return the address of a page without user and password; a browser asks for them."""
    return re.sub(r"^([\w+.-]+://)[^\s]*@", r"\1", address)
