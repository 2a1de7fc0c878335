"""The built documentation in a real browser, at a desktop's and a phone's width. Loads nothing from outside."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from tests.conftest import REPOSITORY
from tests.docs.browser import BROWSER

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

SITE = REPOSITORY / "site"
PAGES = sorted(str(path.relative_to(SITE)) for path in SITE.rglob("*.html"))
DESKTOP, PHONE = (1280, 800), (390, 844)

if not PAGES:
    pytest.skip("needs the built site: `make test-site` builds it", allow_module_level=True)
pytest.importorskip(
    "playwright", reason="needs a browser: `make test-site` installs what drives it"
)


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None: ...


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(SITE)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(**BROWSER)
        yield browser
        browser.close()


def faults_of(page: Page, address: str) -> list[str]:
    """Return the list to which the page adds what goes wrong in it from now on."""
    faults: list[str] = []
    page.on("console", lambda line: faults.append(line.text) if line.type == "error" else None)
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("requestfailed", lambda request: faults.append(f"failed: {request.url}"))
    page.on(
        "response",
        lambda answer: (
            faults.append(f"{answer.status}: {answer.url}") if answer.status >= 400 else None
        ),
    )
    page.on(
        "request",
        lambda request: (
            None if request.url.startswith((address, "data:", "blob:"))
            else faults.append(f"outside: {request.url}")
        ),
    )  # fmt: skip
    return faults


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("name", PAGES)
def test_it_is_whole(name: str, size: tuple[int, int], browser: Browser, address: str) -> None:
    page = browser.new_page(viewport={"width": size[0], "height": size[1]})
    faults = faults_of(page, address)
    page.goto(f"{address}/{name}", wait_until="networkidle")
    assert faults == []
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
    assert (
        page.evaluate("[...document.images].filter(it => !it.naturalWidth).map(it => it.src)") == []
    )
    page.close()


def test_every_link_leads_somewhere(browser: Browser, address: str) -> None:
    page = browser.new_page()
    links: dict[str, set[str]] = {}
    ids: dict[str, set[str]] = {}
    for name in PAGES:
        page.goto(f"{address}/{name}")
        links[name] = set(page.evaluate("[...document.links].map(it => it.href)"))
        ids[name] = set(
            page.evaluate(
                "[...document.querySelectorAll('[id], a[name]')].map(it => it.id || it.name)"
            )
        )
    page.close()
    broken = []
    for name, targets in links.items():
        for target in targets:
            if target.startswith(address):
                path, _, anchor = target.removeprefix(f"{address}/").partition("#")
                path = path or "index.html"
                is_there = path in ids and (not anchor or anchor in ids[path])
                if not is_there and not (SITE / path).is_file():
                    broken.append(f"{name} -> {path}#{anchor}")
    assert broken == []
    assert sum(map(len, links.values())) > len(PAGES)


def test_the_search_finds(browser: Browser, address: str) -> None:
    page = browser.new_page()
    page.goto(f"{address}/index.html")
    page.keyboard.press("/")
    page.fill("[data-md-component=search-query]", "budget")
    page.wait_for_selector(".md-search-result__item", timeout=60_000)
    assert "matching documents" in page.inner_text(".md-search-result__meta")
    page.close()
