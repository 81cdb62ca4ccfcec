"""A browser page that notes every failure and every request that is not to its own place."""

import os
from contextlib import contextmanager

import pytest

CHROMIUM = "/usr/bin/chromium"
OPTIONS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@contextmanager
def browser_page(home):
    """A page of Chromium, with what it complained of as `complaints`; skipped where there is no Chromium.

    Args:
        home: what addresses begin with that may be asked for; the page has it as `home`.
    """
    if not os.path.exists(CHROMIUM):
        if os.environ.get("CI"):
            pytest.fail(f"{CHROMIUM} is missing: .ci/run installs it.")
        pytest.skip(f"{CHROMIUM} is missing: install Debian's package chromium to have the pages looked at.")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        page = browser.new_page()
        page.home, page.complaints = home, []
        page.on(
            "console", lambda message: message.type in ("error", "warning") and page.complaints.append(message.text)
        )
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        page.on("response", lambda answer: answer.status >= 400 and page.complaints.append(answer.url))
        page.on(
            "request", lambda request: request.url.startswith((home, "data:")) or page.complaints.append(request.url)
        )
        yield page
        browser.close()
