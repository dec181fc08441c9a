"""Damage files: flip a bit without changing the times, as a failing disk does; cut; empty."""

import os
from pathlib import Path


def flip(content: bytes, share: float = 0.9) -> bytes:
    """Return content with one bit flipped in the byte at a share of its length."""
    place = int(share * (len(content) - 1))
    return content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :]


def replace(path: Path, content: bytes) -> None:
    """Replace a file; processes that have mapped it into memory keep the old content."""
    changed = path.with_name(f"{path.name}.changed")
    changed.write_bytes(content)
    changed.replace(path)


def cut(path: Path) -> None:
    """Keep only the first half of a file."""
    replace(path, path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path) -> None:
    """Remove the content of a file."""
    replace(path, b"")


def flip_bit(path: Path, share: float = 0.9) -> None:
    """Flip a bit of a file, and restore the file's times."""
    status = path.stat()
    replace(path, flip(path.read_bytes(), share))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
