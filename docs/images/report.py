"""Make the pictures of the HTML report in docs/images/ from a run.

python docs/images/report.py RUN        needs a browser (make browser)

After `metaselector report RUN`: the page's first screen, and a user in its explorer.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

FOLDER = Path(__file__).resolve().parent
WIDTH, HEIGHT = 1100, 1040
USER = "1"


def main() -> None:
    (run,) = map(Path, sys.argv[1:])
    found = filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome")))
    program = os.environ.get("METASELECTOR_CHROMIUM") or next(found)
    options = ["--no-sandbox"] if os.geteuid() == 0 else []
    address = (run / "report.html").resolve().as_uri()
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=program, args=options)
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        page.goto(address)
        page.screenshot(path=FOLDER / "report.png")
        page.goto(f"{address}#user-{USER}")
        page.reload()
        page.get_by_label("Find a user").fill(USER)
        page.get_by_text(f"User {USER}", exact=True).evaluate("it => it.scrollIntoView()")
        page.screenshot(path=FOLDER / "report-user.png")
        browser.close()


if __name__ == "__main__":
    main()
