"""Take the pictures of the page that `rnnlm play` opens: `python docs/figures/play.py`.

The model is the base that comes with the package. Needs chromium.
"""

import shutil
import sys
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

sys.path.insert(0, str(Path(__file__).parents[2]))
from rnnlm import bases, checkpoint
from rnnlm.play import Named, write_page

IMAGES = Path(__file__).parents[1] / "images"
BEGINNING, SEED = "The old house at the end of the lane", "6"
TOKENS = 84


def main() -> None:
    """Write docs/images/play.png and play-phone.png."""
    page = IMAGES / "play.html"
    page.write_bytes(write_page(checkpoint.load(bases.shipped("english")), Named("base-english")))
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=shutil.which("chromium"), args=["--no-sandbox"]
            )
            picture(browser, page, "play", (1120, 720), "light", TOKENS)
            picture(browser, page, "play-phone", (390, 720), "dark", TOKENS // 3)
            browser.close()
    finally:
        page.unlink()


def picture(
    browser: Browser, page: Path, name: str, size: tuple[int, int], scheme: str, tokens: int
) -> None:
    """Let the page draw some tokens, one at a time, and take a picture of it."""
    width, height = size
    opened = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
    opened.goto(page.as_uri())
    opened.wait_for_selector("body[data-ready]")
    settings = opened.locator("#settings")
    is_open = settings.get_attribute("open") is not None  # closed on a phone
    settings.evaluate("element => { element.open = true }")
    opened.fill("#seed", SEED)
    settings.evaluate("(element, is_open) => { element.open = is_open }", is_open)
    opened.fill("#prefix", BEGINNING)
    opened.wait_for_selector("#given:not(:empty)")
    for _ in range(tokens):
        opened.click("#one")
    opened.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
    opened.wait_for_timeout(1500)
    opened.screenshot(path=IMAGES / f"{name}.png", animations="disabled")


if __name__ == "__main__":
    main()
