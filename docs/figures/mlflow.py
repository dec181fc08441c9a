"""Take the pictures of MLflow's pages in the README: `python docs/figures/mlflow.py`.

They show three training runs of `configs/colors-demo.toml` in a new home: a small network, the
larger one that replaces it, and one with a learning rate that is too high. Needs chromium; takes a
few minutes.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:] = [path for path in sys.path if Path(path).resolve() != Path(__file__).parent]

from playwright.sync_api import Page, sync_playwright

IMAGES = ROOT / "docs" / "images"
CONFIG = str(ROOT / "configs" / "colors-demo.toml")
COMMANDS = (
    ("train", CONFIG, "--set", "model.hidden_size=128"),
    ("train", CONFIG),
    ("train", CONFIG, "--set", "training.learning_rate=0.1"),
)
PATIENCE_MS = 60_000


def main() -> None:
    """Write docs/images/mlflow-{runs,review,version}.png."""
    with tempfile.TemporaryDirectory() as home:
        for words in COMMANDS:
            subprocess.run(_rnnlm(*words), env=_environment(home), cwd=home, check=True)
        ui = _rnnlm("ui", "--json")
        with (
            subprocess.Popen(
                ui, env=_environment(home), cwd=home, stdout=subprocess.PIPE, text=True
            ) as serving,
            sync_playwright() as playwright,
        ):
            assert serving.stdout is not None
            addresses = json.loads(serving.stdout.readline())
            browser = playwright.chromium.launch(
                executable_path=shutil.which("chromium"), args=["--no-sandbox"]
            )
            page = browser.new_page(viewport={"width": 1700, "height": 560})
            page.set_default_timeout(PATIENCE_MS)
            page.add_init_script(
                "localStorage['mlflow.assistant.fab.autoOpenedOnFirstLoad_v1'] = true"
            )
            take(page, addresses)
            browser.close()
            serving.terminate()


def take(page: Page, addresses: dict[str, str]) -> None:
    """Take the three pictures.

    Args:
        page: An empty page.
        addresses: What `rnnlm ui` printed.
    """
    page.goto(addresses["colors-demo runs"])
    first = page.get_by_role("link", name="colors-demo/2").first
    first.wait_for()
    page.get_by_text("rnnlm.verdict").first.wait_for(state="attached")
    _save(page, "mlflow-runs")
    page.set_viewport_size({"width": 1200, "height": 880})
    server = addresses["colors-demo runs"].partition("/#")[0]
    run = str(first.get_attribute("href")).partition("?")[0]
    page.goto(f"{server}/{run}/artifacts/review/review.html?workflowType=machine_learning")
    page.frame_locator("iframe").first.get_by_text("How it learned").wait_for(state="attached")
    _save(page, "mlflow-review")
    page.goto(addresses["colors-demo model"])
    page.get_by_role("link", name="Version 2").first.click()
    page.get_by_text("Now the champion").first.wait_for()
    _save(page, "mlflow-version")


def _save(page: Page, name: str) -> None:
    page.wait_for_timeout(3000)
    page.screenshot(path=IMAGES / f"{name}.png", animations="disabled")


def _rnnlm(*words: str) -> list[str]:
    return [sys.executable, "-m", "flows.cli", *words]


def _environment(home: str) -> dict[str, str]:
    return {**os.environ, "RNNLM_HOME": home, "PYTHONPATH": str(ROOT)}


if __name__ == "__main__":
    main()
