"""A server that behaves as S3 does, for tests."""

import subprocess
import sys
import time

import s3fs


class S3:
    """A moto server in a process of its own, with the bucket `texts`.

    Attributes:
        url: Address of the server.
        files: The server's objects.
    """

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        words = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
        self._process = subprocess.Popen(
            words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self.files = s3fs.S3FileSystem(
            endpoint_url=self.url, key="k", secret="s", use_listings_cache=False
        )
        deadline = time.monotonic() + 60
        while True:
            try:
                self.files.mkdir("texts")
                return
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.2)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables with which S3's clients use this server."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "k",
            "AWS_SECRET_ACCESS_KEY": "s",
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def objects(self, address: str) -> dict[str, bytes]:
        """Return the content of each object under an address, by name."""
        root = address.removeprefix("s3://")
        found = self.files.find(root)
        return {path.removeprefix(f"{root}/"): self.files.cat_file(path) for path in found}
