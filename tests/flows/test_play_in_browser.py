"""Test the page of `rnnlm play` and `rnnlm export --html` as a user sees it, in a real browser."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from rnnlm import checkpoint
from rnnlm.checkpoint import LoadedModel
from rnnlm.tokenizer import CharacterTokenizer
from tests.conftest import ROOT, call_cli
from tests.flows.attacks import CHROMIUM, QUIET
from tests.play.in_node import loaded_model
from tests.play.test_same_texts import ASCII, PIECES, model, native

pytestmark = [
    pytest.mark.slow,
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine"),
]
sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
HEBREW = CharacterTokenizer("אבגדהוזחטיכלמנסעפצקרשת ")
SEED = 2**40 + 3


def prose(hidden_size: int = 40, **settings: Any) -> LoadedModel:
    made = model(PIECES, hidden_size=hidden_size)
    return loaded_model(made, PIECES, {"form": "prose"}, **({"max_length": 300} | settings))


@pytest.fixture(scope="module")
def browser() -> Iterator["sync_api.Browser"]:
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield opened
        opened.close()


def write(loaded: LoadedModel, folder: Path) -> Path:
    """Write a model's page with the command line."""
    saved = folder / "model.safetensors"
    checkpoint.save(saved, loaded.model, loaded.tokenizer, loaded.experiment, {})
    finished = call_cli(folder, "export", str(saved), "--html", "page.html")
    assert finished.status == 0, finished.err
    return folder / "page.html"


def opened(browser: "sync_api.Browser", address: str, **options: Any) -> "sync_api.Page":
    page = browser.new_page(**options)
    page.set_default_timeout(30_000)
    page.on("pageerror", lambda error: pytest.fail(str(error)))
    page.goto(address)
    page.wait_for_selector("body[data-ready]")
    return page


def run_to_the_end(page: "sync_api.Page", pace: str = "full") -> None:
    page.locator(f"input[value={pace}]").evaluate("radio => radio.click()")
    page.fill("#seed", str(SEED))
    page.press("#seed", "Control+Enter")
    page.wait_for_selector("body:not(.writing)")
    sync_api.expect(page.locator("#status")).not_to_be_empty()


@pytest.mark.parametrize("kind", ["lstm", "gru", "sigmoid", "tanh"])
def test_the_page_writes_the_texts_of_native_code(kind: str, browser, tmp_path: Path):
    kinds = {"lstm": {}, "gru": {"architecture": "gru"}}
    settings = kinds.get(kind, {"architecture": "simple", "nonlinearity": kind})
    loaded = loaded_model(model(ASCII, **settings), ASCII, temperature=1.0, max_length=60)
    page = opened(browser, write(loaded, tmp_path).as_uri())
    run_to_the_end(page)
    *kept, last = page.locator(".text").all_text_contents()
    count = int(page.input_value("#texts"))
    assert [*kept, last] == [text["text"] for text in native(loaded, 0, count, seed=SEED)]
    assert count == 24
    page.close()


def test_a_typed_beginning_is_continued_as_by_native_code(browser, tmp_path: Path):
    loaded, asked = prose(max_length=60), []
    page = browser.new_page()
    page.on("request", lambda request: asked.append(request.url.partition(":")[0]))
    page.goto(write(loaded, tmp_path).as_uri())
    page.wait_for_selector("body[data-ready]")
    page.fill("#prefix", "The grammar cons")
    page.locator("#temperature").fill("0.9")
    page.fill("#texts", "1")
    run_to_the_end(page, "watch")
    (expected,) = native(loaded, 0, 1, prefix="The grammar cons", seed=SEED, temperature=0.9)
    assert page.inner_text("#now") == expected["text"]
    assert page.inner_text("#given") == "The grammar cons"
    assert {*asked} <= {"file", "blob", "data"}
    speed = page.inner_text("#characters").replace(",", "")
    assert float(speed) > 1000
    page.close()


def test_the_keyboard_starts_stops_and_chooses(browser, tmp_path: Path):
    loaded = prose(400, max_length=900_000, min_length=800_000)  # it does not end by itself
    page = opened(browser, write(loaded, tmp_path).as_uri())
    page.keyboard.press("Tab")  # the first button, then the beginning
    page.keyboard.press("Tab")
    page.keyboard.type("Text ")
    sync_api.expect(page.locator("#given")).to_have_js_property("textContent", "Text ")
    page.keyboard.press("Enter")
    page.wait_for_selector("body.writing")
    sync_api.expect(page.locator("#drawn")).not_to_be_empty()
    page.keyboard.press("Escape")
    sync_api.expect(page.locator("#status")).to_contain_text("Stopped")
    before = page.locator("#now").text_content()
    assert before is not None
    assert before.startswith("Text ")
    labels = page.locator("#next li:visible bdi").all_text_contents()
    assert len(labels) == 12
    place = next(n for n, label in enumerate(labels) if re.fullmatch("␣?[a-z]+", label))
    page.locator("#next li button").nth(place).focus()
    page.keyboard.press("Enter")
    after = before + labels[place].replace("␣", " ")
    sync_api.expect(page.locator("#now")).to_have_js_property("textContent", after)
    page.click("text=Go on")
    page.wait_for_selector("body.writing")
    page.click("text=Stop")
    sync_api.expect(page.locator("#status")).to_contain_text("Stopped")
    assert (page.locator("#now").text_content() or "").startswith(after)
    seed = page.input_value("#seed")
    page.click("text=Surprise me")
    page.wait_for_selector("body.writing")
    assert page.input_value("#seed") != seed
    page.close()


def test_a_text_that_was_cut_can_go_on(browser, tmp_path: Path):
    loaded = prose(max_length=10)
    page = opened(browser, write(loaded, tmp_path).as_uri())
    page.fill("#texts", "1")
    run_to_the_end(page)
    assert "Cut after 10 tokens" in page.inner_text("#status")
    page.click("text=Go on")
    page.wait_for_selector("body:not(.writing)")
    sync_api.expect(page.locator("#status")).to_contain_text("20 tokens")
    (expected,) = native(loaded, 0, 1, seed=SEED, max_length=20)
    assert page.locator("#now").text_content() == expected["text"]
    page.close()


def test_colours_are_shown_as_swatches(browser, tmp_path: Path):
    corpus, settings = {"form": "color"}, {"grammar": "color", "max_length": 60}
    loaded = loaded_model(model(ASCII, hidden_size=30), ASCII, corpus, **settings)
    page = opened(browser, write(loaded, tmp_path).as_uri())
    run_to_the_end(page)
    assert page.locator("figure").count() == 24
    assert page.locator("figure small").all_inner_texts()[0].startswith("#")
    page.close()


def test_right_to_left_text_is_isolated_and_runs_to_the_left(browser, tmp_path: Path):
    loaded = loaded_model(model(HEBREW, hidden_size=20), HEBREW, max_length=50)
    page = opened(browser, write(loaded, tmp_path).as_uri())
    page.fill("#prefix", "שלו")
    sync_api.expect(page.locator("#given")).to_have_text("שלו")
    style = (
        "element => [getComputedStyle(element).direction, getComputedStyle(element).unicodeBidi]"
    )
    assert page.locator("#now").evaluate(style) == ["rtl", "isolate"]
    assert page.locator("#prefix").evaluate(style)[0] == "rtl"
    page.close()


def test_attributes_are_fields_before_the_beginning_and_labels_after(browser, tmp_path: Path):
    corpus = {"attributes": ["brand", "year"], "condition": ["brand", "year"]}
    letters = CharacterTokenizer("abcdef \t")
    made = model(letters, hidden_size=20)
    loaded = loaded_model(made, letters, corpus, max_length=40, temperature=1.0)
    page = opened(browser, write(loaded, tmp_path).as_uri())
    page.fill("#texts", "1")
    page.fill("[name=brand]", " a  bad ")
    sync_api.expect(page.locator("#prefix")).to_be_disabled()
    page.fill("[name=year]", "fe")
    page.fill("#prefix", "c")
    run_to_the_end(page)
    given = {"brand": "a bad", "year": "fe"}
    (expected,) = native(loaded, 0, 1, seed=SEED, given=given, prefix="c")
    assert page.locator("#values bdi").all_text_contents() == ["brand: a bad", "year: fe"]
    assert page.locator("#now").text_content() == expected["text"].split("\t", 2)[2]
    page.close()


def test_the_page_fits_a_phone_and_follows_the_colour_scheme(browser, tmp_path: Path):
    address = write(prose(), tmp_path).as_uri()
    phone = opened(browser, address, viewport={"width": 340, "height": 700}, color_scheme="dark")
    phone.locator("#settings summary").click()
    run_to_the_end(phone)
    width = "element => element.scrollWidth - element.clientWidth"
    assert phone.locator("html").evaluate(width) == 0
    background = "element => getComputedStyle(element).backgroundColor"
    assert phone.locator("body").evaluate(background) == "rgb(23, 24, 26)"
    phone.click("#theme")
    assert phone.locator("body").evaluate(background) == "rgb(255, 255, 255)"
    phone.close()


def test_the_page_answers_while_the_model_writes_at_full_speed(browser, tmp_path: Path):
    page = opened(
        browser, write(prose(400, max_length=900_000, min_length=800_000), tmp_path).as_uri()
    )
    page.locator("input[value=full]").evaluate("radio => radio.click()")
    page.click("#write")
    page.wait_for_selector("body.writing")
    longest = page.evaluate(
        """async () => {
            let last = performance.now(), longest = 0
            for (let n = 0; n < 40; n++) {
                await new Promise(done => setTimeout(done, 10))
                longest = Math.max(longest, performance.now() - last - 10)
                last = performance.now()
            }
            return longest
        }"""
    )
    page.keyboard.press("Escape")
    page.wait_for_selector("body:not(.writing)")
    assert longest < 1000  # milliseconds; a page that ran the model itself would be blocked
    page.close()


def test_play_serves_the_same_page_to_this_machine_only(browser, tmp_path: Path):
    loaded = prose(max_length=40)
    saved = tmp_path / "model.safetensors"
    checkpoint.save(saved, loaded.model, loaded.tokenizer, loaded.experiment, {})
    command = [sys.executable, "-m", "flows.cli", "play", str(saved), "--json"]
    environment = {**os.environ, "RNNLM_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command,
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        address = json.loads(process.stdout.readline())["page"]
        assert address.startswith("http://127.0.0.1:")
        for headers in ({"Host": "hostile.example"}, {"Origin": "http://localhost:1"}):
            assert httpx.get(address, headers=headers).status_code == 403
        assert httpx.get(address).content == write(loaded, tmp_path).read_bytes()
        page = opened(browser, address)
        run_to_the_end(page)
        *_, last = page.locator(".text").all_text_contents()
        count = int(page.input_value("#texts"))
        assert last == native(loaded, count - 1, 1, seed=SEED)[0]["text"]
        page.close()
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    assert not (tmp_path / "mlruns").exists()
