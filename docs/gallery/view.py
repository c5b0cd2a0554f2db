"""Draw the figure of the page about the view: the page of a run in Chromium, with a clicked pixel. Run ``make demo`` first."""

import io
import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from bocage.jobs.view import viewer_of

viewer = viewer_of([Path(sys.argv[1] if len(sys.argv) > 1 else "runs/demo/run")])
with sync_playwright() as playwright:
    browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
    page = browser.new_page(viewport={"width": 1280, "height": 860})
    page.goto(f"{viewer.address}#swipe=62&show-polygons=1")
    page.wait_for_selector("body[data-ready=all]")
    box = page.locator(".map").bounding_box()
    page.mouse.click(box["x"] + 0.42 * box["width"], box["y"] + 0.5 * box["height"])
    page.wait_for_selector(".series .chart")
    page.wait_for_timeout(1000)
    Image.open(io.BytesIO(page.screenshot())).convert("P", palette=Image.Palette.ADAPTIVE).save("docs/gallery/view.png")
    browser.close()
viewer.stop()
