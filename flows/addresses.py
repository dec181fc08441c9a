"""Addresses of servers and databases, as they are told to people."""

from urllib.parse import urlsplit


def is_http(address: str) -> bool:
    """Return whether an address is a server's rather than a database's."""
    return urlsplit(address).scheme in ("http", "https")


def shown(url: str) -> str:
    """Return a database's address without its password."""
    parts = urlsplit(url)
    if parts.password is None:
        return url
    at = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=f"{parts.username}:…@{at}").geturl()
