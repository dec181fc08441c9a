"""Test that data sets reach an object store whole and once. S3 is a moto server in a process."""

import itertools
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import s3fs

from rnnlm.config import GenerationConfig
from rnnlm.errors import ConfigError, GenerationError, StorageError
from rnnlm.generation.job import generate
from rnnlm.generation.manifest import TextDataSet
from rnnlm.generation.stores import UPLOADED, Store
from rnnlm.progress import Progress
from tests.flows.serving import free_port
from tests.generation.jobs import CONFIG, Stop, contents
from tests.object_store import S3

_numbers = itertools.count()


@pytest.fixture(scope="module")
def s3() -> Iterator[S3]:
    server = S3(free_port())
    yield server
    server.kill()


@pytest.fixture(autouse=True)
def credentials(s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture
def address() -> str:
    return f"s3://texts/set-{next(_numbers)}"


def send(model: Path, out: Path, address: str, **options: Any) -> TextDataSet:
    config: GenerationConfig = options.pop("config", CONFIG)
    return generate(model, config, out, "text", store=Store(address), **options)


def send_some(model: Path, out: Path, address: str, files: int) -> None:
    """Interrupt the upload after a number of files."""

    def interrupt(progress: Progress) -> None:
        if progress.unit == "files uploaded" and progress.done == files:
            raise Stop

    with pytest.raises(Stop):
        send(model, out, address, on_progress=interrupt)


def test_a_store_holds_the_bytes_of_a_local_data_set(
    model: Path, tmp_path: Path, s3: S3, address: str
):
    whole = generate(model, CONFIG, tmp_path / "local", "text")
    sent = send(model, tmp_path / "out", address)
    assert (sent.uri, sent.digest) == (address, whole.digest)
    found = s3.objects(address)
    shards = {f"data/{name}": content for name, content in contents(tmp_path / "local").items()}
    assert {name: found[name] for name in shards} == shards
    local = {str(p.relative_to(tmp_path / "local")) for p in (tmp_path / "local").rglob("*.*")}
    assert {name for name in found if not name.startswith("data/")} == {
        name for name in local if not name.startswith("data/")
    }
    assert str(tmp_path) not in found["manifest.json"].decode()


def test_pandas_reads_a_data_set_from_a_store(model: Path, tmp_path: Path, s3: S3, address: str):
    send(model, tmp_path / "out", address)
    options = {"client_kwargs": {"endpoint_url": s3.url}}
    frame = pd.read_parquet(f"{address}/data", storage_options=options)
    assert len(frame) == CONFIG.count
    assert frame["id"].is_unique


def test_a_finished_data_set_is_not_generated_again(
    model: Path, tmp_path: Path, s3: S3, address: str
):
    send(model, tmp_path / "out", address)
    before = s3.files.info(f"{address}/data/train-00000.parquet")["LastModified"]
    again = send(model, tmp_path / "elsewhere", address)
    assert again.was_finished
    assert again.uri == address
    assert not (tmp_path / "elsewhere").exists()
    assert s3.files.info(f"{address}/data/train-00000.parquet")["LastModified"] == before


def test_an_interrupted_upload_resumes_after_the_files_that_arrived(
    model: Path, tmp_path: Path, s3: S3, address: str
):
    send_some(model, tmp_path / "out", address, 3)
    assert "manifest.json" not in s3.objects(address)
    arrived = {
        path: s3.files.info(path)["LastModified"]
        for path in s3.files.find(address)
        if "job" not in path
    }
    assert len(arrived) == 3
    time.sleep(1.1)  # times in S3 are whole seconds
    send(model, tmp_path / "out", address)
    assert {path: s3.files.info(path)["LastModified"] for path in arrived} == arrived
    whole = generate(model, CONFIG, tmp_path / "local", "text")
    assert json.loads(s3.objects(address)["manifest.json"])["data_set"]["digest"] == whole.digest


def test_an_upload_whose_local_folder_is_gone_ends_in_the_same_bytes(
    model: Path, tmp_path: Path, s3: S3, address: str
):
    send_some(model, tmp_path / "out", address, 2)
    send(model, tmp_path / "another machine", address)
    once = f"{address}-once"
    send(model, tmp_path / "once", once)
    found, wanted = s3.objects(address), s3.objects(once)
    assert found.keys() == wanted.keys()
    assert {n: found[n] for n in found if n.startswith("data/")} == {
        n: wanted[n] for n in wanted if n.startswith("data/")
    }


def test_an_object_that_was_replaced_in_the_store_is_uploaded_again(
    model: Path, tmp_path: Path, s3: S3, address: str
):
    send(model, tmp_path / "out", address)
    good = s3.objects(address)
    s3.files.pipe_file(f"{address}/data/train-00001.parquet", b"other")
    s3.files.rm_file(f"{address}/manifest.json")
    send(model, tmp_path / "out", address)
    assert s3.objects(address) == good


def test_an_address_of_another_job_is_refused_before_texts_are_drawn(
    model: Path, tmp_path: Path, address: str
):
    send(model, tmp_path / "one", address)
    other = CONFIG.model_copy(update={"seed": 9})
    with pytest.raises(GenerationError, match="belongs to another job"):
        send(model, tmp_path / "two", address, config=other)
    assert not (tmp_path / "two").exists()


def test_an_address_with_other_files_is_refused(model: Path, tmp_path: Path, s3: S3, address: str):
    s3.files.pipe_file(f"{address}/holiday.jpg", b"sun")
    with pytest.raises(GenerationError, match="holds other files"):
        send(model, tmp_path / "out", address)
    assert s3.objects(address) == {"holiday.jpg": b"sun"}


def test_of_two_jobs_that_claim_an_address_at_once_one_gets_it(address: str):
    one, two = Store(address), Store(address)
    real, read = two.objects.read, [None, None]  # the first reads precede the other's claim
    two.objects.read = lambda name: read.pop() if read else real(name)  # type: ignore[method-assign]
    two.objects.exists = lambda name: False  # type: ignore[method-assign]
    two.objects.is_empty = lambda: True  # type: ignore[method-assign]
    one.claim({"number": 1})
    with pytest.raises(GenerationError, match="belongs to another job"):
        two.claim({"number": 2})


def test_a_missing_bucket_and_wrong_addresses_are_refused_in_one_line(model: Path, tmp_path: Path):
    with pytest.raises(StorageError, match=r"s3://nowhere/set: .*bucket does not exist"):
        send(model, tmp_path / "out", "s3://nowhere/set")
    for wrong, reason in {
        "s3://": "names no folder",
        "nonsense://a/b": "unknown protocol",
        "gs://a/b": "install",
    }.items():
        with pytest.raises(ConfigError, match=reason):
            Store(wrong)


def test_a_server_that_is_killed_while_files_arrive_is_one_line(model: Path, tmp_path: Path):
    server = S3(free_port())
    store = Store("s3://texts/set")
    store.objects._files = s3fs.S3FileSystem(
        endpoint_url=server.url, key="k", secret="s", use_listings_cache=False,
        config_kwargs={"retries": {"max_attempts": 1}, "connect_timeout": 2},
    )  # fmt: skip

    def kill(progress: Progress) -> None:
        if progress.unit == "files uploaded" and progress.done == 2:
            server.kill()

    with pytest.raises(StorageError, match="run the same command again"):
        generate(model, CONFIG, tmp_path / "out", "text", store=store, on_progress=kill)
    records = [*(tmp_path / "out" / UPLOADED).rglob("*.json")]
    assert len(records) == 2


def test_storage_without_objects_gets_whole_files_too(model: Path, tmp_path: Path):
    address = f"file://{tmp_path}/remote"
    sent = send(model, tmp_path / "out", address)
    assert contents(tmp_path / "remote") == contents(tmp_path / "out")
    assert sent.uri == address
    assert not [*(tmp_path / "remote").rglob("*.tmp")]
