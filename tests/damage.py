"""Damage to files as a disk does it: one bit is flipped, and the modification time stays."""

import os
from pathlib import Path


def flip(content: bytes, share: float = 0.9) -> bytes:
    """Return content with one bit flipped in the byte at a share of its length."""
    place = int(share * (len(content) - 1))
    return content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :]


def flip_bit(path: Path, share: float = 0.9) -> None:
    """Flip a bit of a file in place, and restore the file's times."""
    status = path.stat()
    path.write_bytes(flip(path.read_bytes(), share))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
