"""Attacks by a hostile web page on servers of this machine, carried out in a real browser."""

import contextlib
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
QUIET += ["--disable-component-update", "--disable-sync", "--disable-quic"]
HOSTILE = "hostile.example"
REBOUND = "rebound.example"
NAMES = ["--host-resolver-rules=MAP *.example 127.0.0.1"]

POST = """
async ([kind, url, values]) => {
  const body = JSON.stringify(values)
  const wait = (milliseconds) => new Promise(done => setTimeout(done, milliseconds))
  if (kind === "form") {
    const form = document.createElement("form"), input = document.createElement("input")
    form.method = "POST"; form.action = url; form.enctype = "text/plain"; form.target = "frame"
    input.name = body.slice(0, -1) + ',"rest":"'; input.value = '"}'
    const frame = document.createElement("iframe")
    frame.name = "frame"
    form.append(input); document.body.append(frame, form)
    form.submit()
    await wait(1000)
    return "sent"
  }
  if (kind === "beacon") {
    navigator.sendBeacon(url, new Blob([body]))
    await wait(500)
    return "sent"
  }
  const requests = {
    json: {headers: {"Content-Type": "application/json"}, body},
    plain: {mode: "no-cors", headers: {"Content-Type": "text/plain"}, body},
    untyped: {mode: "no-cors", body: new Blob([body])},
  }
  try {
    return `answered ${(await fetch(url, {method: "POST", ...requests[kind]})).status}`
  } catch (error) { return String(error) }
}
"""
"""Script that posts values in each way open to a page, with or without a CORS preflight."""
KINDS = ("json", "plain", "untyped", "form", "beacon")

READ = """
async (url) => {
  try { return await (await fetch(url)).text() } catch (error) { return "" }
}
"""
OPEN_SOCKET = """
(url) => new Promise(done => {
  const socket = new WebSocket(url)
  socket.onopen = () => done("opened")
  socket.onerror = () => done("refused")
})
"""
FRAME = """
(url) => new Promise(done => {
  const frame = document.createElement("iframe")
  frame.src = url
  frame.onload = () => done(frame.name)
  document.body.append(frame)
})
"""


@contextlib.contextmanager
def browser() -> Iterator[Any]:
    """Provide a browser for which all host names *.example are 127.0.0.1."""
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine (apt-get install chromium)")
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=[*QUIET, *NAMES])
        yield opened
        opened.close()


@contextlib.contextmanager
def hostile_site() -> Iterator[int]:
    """Serve an empty page on this machine; provide its port."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<title>hostile</title><body></body>")

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()
