"""Test MLflow's pages as a user sees them, in a real browser."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from flows import registry
from flows.runtime.home import Home
from tests.conftest import ROOT, call_cli, fork_cli, write_tiny
from tests.flows.attacks import CHROMIUM, QUIET

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine"),
]
sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
PATIENCE_MS = 30_000


@contextlib.contextmanager
def served(home: Path) -> Iterator[dict[str, str]]:
    """Serve a home's pages; provide the addresses that `rnnlm ui` prints."""
    command = [sys.executable, "-m", "flows.cli", "ui", "--json"]
    environment = {**os.environ, "RNNLM_HOME": str(home), "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, cwd=home, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())
        finally:
            process.terminate()
            assert process.wait(30) == 0


@pytest.fixture(scope="module")
def addresses(trained: Path) -> Iterator[dict[str, str]]:
    with served(trained) as found:
        yield found


@pytest.fixture(scope="module")
def page(addresses: dict[str, str]) -> Iterator["sync_api.Page"]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        opened = browser.new_page(viewport={"width": 1700, "height": 1000})
        opened.set_default_timeout(PATIENCE_MS)
        opened.add_init_script("localStorage['mlflow.assistant.fab.autoOpenedOnFirstLoad_v1']=true")
        yield opened
        browser.close()


def test_a_reviewer_gets_from_the_list_of_runs_to_the_champion(
    trained: Path, addresses: dict[str, str], page: "sync_api.Page"
):
    expect = sync_api.expect
    expect.set_options(timeout=PATIENCE_MS)
    result = json.loads((trained / "result.json").read_text())
    bits = f"{result['test']['bits_per_character']:.3f}"

    page.goto(addresses["tiny runs"])  # what changed, is it better, can it be deployed?
    row = page.get_by_role("link", name="tiny/1 · lstm 1×16").first
    expect(row).to_be_visible()
    for column in ("rnnlm.alias", "rnnlm.verdict", "test/bits_per_character"):
        expect(page.get_by_text(column).first).to_be_attached()
    verdict = page.get_by_text("became champion: no champion before it").first
    expect(verdict).to_be_visible()
    for cell in (row, verdict, page.get_by_text(str(result["test"]["bits_per_character"])).first):
        is_whole = "cell => cell.scrollWidth <= cell.clientWidth || cell.clientWidth == 0"
        assert cell.evaluate(is_whole)

    row.click()  # one run: the result first, then its curves
    expect(page.get_by_text(f"Test: {bits} bits per character")).to_be_visible()
    expect(page.get_by_text("manual").first).to_be_visible()
    page.get_by_role("tab", name="Model metrics").click()
    expect(page.get_by_role("heading", name="train_bits_per_character").first).to_be_visible()
    expect(page.locator(".js-plotly-plot .scatterlayer .trace").first).to_be_attached()
    for curve in ("learning_rate", "gradient_norm", "tokens_per_second", "nll_nats_per_token"):
        page.get_by_placeholder("Search metric charts").fill(f"train_{curve}")
        expect(page.get_by_role("heading", name=curve).first).to_be_visible()

    page.get_by_role("tab", name="Artifacts").click()  # what does it write, where does it fail?
    page.get_by_text("review", exact=True).first.click()
    page.get_by_text("review.html").first.click()
    report = page.frame_locator("iframe").first
    expect(report.get_by_text("How it learned")).to_be_attached()
    expect(report.get_by_text(bits).first).to_be_attached()

    page.goto(addresses["tiny model"])  # which version is champion, and why?
    expect(page.get_by_text("Champion of tiny: version 1")).to_be_visible()
    expect(page.get_by_text("@ champion").first).to_be_visible()
    page.get_by_role("link", name="Version 1").first.click()
    expect(page.get_by_text("Now the champion, since 20")).to_be_visible()
    expect(page.get_by_text("The gate made it champion: no champion before it.")).to_be_visible()
    expect(page.get_by_text("on the same").first).to_be_visible()
    expect(page.get_by_text("@ champion").first).to_be_visible()


@pytest.fixture(scope="module")
def retrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a second version, of a larger network, which was then rolled back."""
    home = tmp_path_factory.mktemp("retrained")
    write_tiny(home)
    train = ("train", "tiny.toml")
    larger = ("--set", "model.hidden_size=24", "--set", "training.learning_rate=0.02")
    for words in (train, (*train, *larger), ("generate", "tiny", "--count", "20")):
        finished = fork_cli(home, *words)
        assert finished.status == 0, finished.err
    assert call_cli(home, "rollback", "tiny").status == 0
    return home


@pytest.mark.slow
def test_a_reviewer_sees_what_changed_and_who_is_champion_after_a_rollback(
    retrained: Path, page: "sync_api.Page"
):
    expect = sync_api.expect
    changed = "model.hidden_size 16 → 24, training.learning_rate 0.003 → 0.02"
    with served(retrained) as addresses:
        page.set_viewport_size({"width": 4000, "height": 1000})  # MLflow draws what is in sight
        page.goto(addresses["tiny runs"])
        row = page.get_by_role("link", name="tiny/2 · lstm 1×24").first
        expect(row).to_be_visible(timeout=PATIENCE_MS)
        for column in ("changed.settings", "changed.data", "changed.code"):
            expect(page.get_by_text(column, exact=True).first).to_be_visible()
        expect(page.get_by_text(changed).first).to_be_visible()
        expect(page.get_by_text("20 texts")).to_have_count(0)
        page.set_viewport_size({"width": 1700, "height": 1000})

        page.goto(addresses["tiny data sets"])
        expect(page.get_by_role("link", name="tiny/2 · 20 texts").first).to_be_visible()

        page.goto(addresses["tiny model"])
        expect(page.get_by_text("Champion of tiny: version 1")).to_be_visible()
        expect(page.get_by_role("cell", name=changed).first).to_be_visible()
        page.get_by_role("link", name="Version 2").first.click()
        expect(page.get_by_text("Now the previous champion; version 1 is")).to_be_visible()
        expect(page.get_by_text("Changed since champion 1:")).to_be_visible()
        expect(page.get_by_text("The gate made it champion")).to_be_visible()

        server = addresses["tiny runs"].partition("/#")[0]
        run_id = registry.resolve(Home(retrained), "tiny/2").run_id
        kind = "workflowType=machine_learning"
        page.goto(f"{server}/#/experiments/1/runs/{run_id}/artifacts/generated/README.md?{kind}")
        expect(page.get_by_role("heading", name="tiny: 30 generated texts")).to_be_visible()
        expect(page.get_by_text("pretty_name")).to_have_count(0)


def test_the_page_of_a_run_names_the_version_that_it_made(
    trained: Path, addresses: dict[str, str], page: "sync_api.Page"
):
    version = registry.resolve(Home(trained), "tiny")
    server = addresses["tiny runs"].partition("/#")[0]
    page.goto(f"{server}/#/experiments/1/runs/{version.run_id}?workflowType=machine_learning")
    link = page.get_by_role("link", name="tiny/1").first
    sync_api.expect(link).to_be_visible(timeout=PATIENCE_MS)
    page.goto(f"{server}/{link.get_attribute('href')}")
    sync_api.expect(page.get_by_text("Version 1").first).to_be_visible(timeout=PATIENCE_MS)


def test_the_pages_refuse_other_host_names_and_other_origins(addresses: dict[str, str]):
    mlflow, prefect = addresses["tiny runs"].partition("/#")[0], addresses["flow runs"]
    for address in (f"{mlflow}/version", f"{prefect.removesuffix('/runs')}/api/admin/version"):
        assert httpx.get(address).status_code == 200
        for headers in ({"Host": "hostile.example"}, {"Origin": "http://localhost:1"}):
            assert httpx.get(address, headers=headers).status_code == 403
