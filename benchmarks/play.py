"""Measure the web page of a model in Chromium: its size, how fast it opens, how fast it writes.

    python benchmarks/play.py [CHECKPOINT …]

By default the model is the base that comes with the package (LSTM 2×512, 4,096 word pieces). The
page is opened from a file, several times; a row shows the fastest, as other programs only ever make
it slower. Speed is what the page itself shows: characters drawn, divided by the time that the
engine took. The first text computes rows of the first layer's table; later texts reuse them.
"""

import sys

sys.path[0] = sys.path[0].removesuffix("/benchmarks")  # tokenize.py there hides Python's own

import shutil
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from rnnlm import bases, checkpoint
from rnnlm.play import Named, write_page

TIMES, TEXTS = 5, 5


def main() -> None:
    """Measure each checkpoint, and print a table."""
    paths = [Path(name) for name in sys.argv[1:]] or [bases.shipped("english")]
    print("| model | file | opens in | first text | further texts | top-p 0.9 |")
    print("|---|---:|---:|---:|---:|---:|")
    for path in paths:
        loaded = checkpoint.load(path)
        began = time.process_time()
        page = write_page(loaded, Named(path.stem))
        seconds = time.process_time() - began
        opening, speeds = measure(page)
        shown = " | ".join(f"{speed:,.0f} characters/s" for speed in speeds)
        title = f"{loaded.experiment.model.title}, {loaded.tokenizer.vocab_size:,} tokens"
        print(f"| {title} | {len(page) / 1e6:.1f} MB | {opening:.2f} s | {shown} |")
        print(f"written in {seconds:.1f} s of processor time", file=sys.stderr)


def measure(content: bytes) -> tuple[float, list[float]]:
    """Return the shortest time to open a page in seconds, and its speeds in characters/s."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        file = Path(folder) / "page.html"
        file.write_bytes(content)
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        openings, found = [], []
        for _ in range(TIMES):
            page = browser.new_page()
            began = time.perf_counter()
            page.goto(file.as_uri())
            page.wait_for_selector("body[data-ready]")
            openings.append(time.perf_counter() - began)
            page.locator("input[value=full]").evaluate("radio => radio.click()")
            first = speed(page, 1, "1")
            speed(page, TEXTS, "1")
            found.append((first, speed(page, TEXTS, "1"), speed(page, TEXTS, "0.9")))
            page.close()
        browser.close()
    return min(openings), [max(speeds) for speeds in zip(*found, strict=True)]


def speed(page: Page, texts: int, top_p: str) -> float:
    """Write some texts at full speed; return the characters per second that the page shows."""
    page.fill("#texts", str(texts))
    page.locator("#top-p").fill(top_p)
    page.press("#seed", "Control+Enter")
    page.wait_for_selector("body:not(.writing)")
    return float(page.inner_text("#characters").replace(",", ""))


if __name__ == "__main__":
    main()
