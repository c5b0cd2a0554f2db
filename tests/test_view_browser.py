"""``bocage view`` in a browser: Debian's Chromium and the built page; skipped where one of them is missing."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from affine import Affine

from bocage.view import Viewer, open_viewed
from bocage.view import server as serving
from test_view import with_dates
from test_zones_and_change import delivered, random_codes

pytestmark = pytest.mark.slow
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
VIEW = Path(serving.__file__).parent
AXE = VIEW / "web/node_modules/axe-core/axe.min.js"
WAIT = 30_000
PHONE, DESK = {"width": 390, "height": 844}, {"width": 1280, "height": 800}


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    api = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    if not (VIEW / "static/app.js").exists():
        pytest.skip("the page is not built (make viewer)")
    with api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def viewer(finished) -> Iterator[Viewer]:
    viewer = Viewer((open_viewed(finished(more='layers = ["classes", "confidence", "probabilities"]').out),))
    viewer.start()
    yield viewer
    viewer.stop()


@pytest.fixture
def opened(browser, viewer):
    """Open the page; every request, and every error of a script, is kept."""
    pages = []

    def go(query: str = "", at: Viewer = viewer, **settings):
        settings.setdefault("viewport", DESK)
        page = browser.new_page(bypass_csp=True, **settings)
        page.faults, page.asked = [], []
        page.on("pageerror", lambda error: page.faults.append(str(error)))
        page.on("console", lambda line: page.faults.append(line.text) if line.type == "error" else None)
        page.on("request", lambda request: page.asked.append(request.url))
        pages.append(page)
        page.goto(at.address + query)
        page.wait_for_selector("body[data-ready=all]", timeout=WAIT)
        return page

    yield go
    for page in pages:
        page.close()


def middle(page, right: float = 0.5):
    box = page.locator(".map").first.bounding_box()
    return box["x"] + box["width"] * right, box["y"] + box["height"] * 0.5


def colour(page, x: float, y: float):
    """Red, green and blue of a point of the screen."""
    import io

    from PIL import Image

    shot = page.screenshot(clip={"x": x - 1, "y": y - 1, "width": 3, "height": 3})
    return Image.open(io.BytesIO(shot)).convert("RGB").getpixel((1, 1))


def slide(page, name: str, value: int):
    page.evaluate(
        "([id, value]) => { const it = document.getElementById(id); it.value = value; it.dispatchEvent(new Event('input')) }",
        [name, value],
    )
    page.wait_for_timeout(300)


def test_the_page_opens_without_errors_and_asks_nothing_elsewhere(opened, viewer):
    page = opened()
    assert page.faults == []
    assert page.asked
    assert all(url.startswith((viewer.address, "data:", "blob:")) for url in page.asked)
    assert page.locator("#legend li").count() == 3
    assert page.locator(".ol-scale-line-inner").inner_text().endswith("m")


def test_the_policy_of_the_page_lets_its_own_scripts_run(browser, viewer):
    """The other tests switch it off, to add the checker of accessibility."""
    page = browser.new_page()
    faults = []
    page.on("console", lambda line: faults.append(line.text) if line.type == "error" else None)
    page.goto(viewer.address)
    page.wait_for_selector("body[data-ready=all]", timeout=WAIT)
    x, y = middle(page)
    page.mouse.click(x, y)
    page.wait_for_selector(".series .chart canvas", timeout=WAIT)
    page.close()
    assert faults == []


def test_a_filtered_class_leaves_the_map(opened, viewer):
    page = opened()
    slide(page, "opacity", 100)
    x, y = middle(page)
    legend = {code: viewer.runs[0].legend.rgb(k) for k, code in enumerate(viewer.runs[0].legend.codes)}
    shown = colour(page, x, y)
    assert shown in legend.values()
    code = next(code for code, rgb in legend.items() if rgb == shown)
    page.locator(f"#legend input[value='{code}']").uncheck()
    page.wait_for_timeout(700)
    assert colour(page, x, y) != shown
    page.locator("#all").click()
    page.wait_for_timeout(700)
    assert colour(page, x, y) == shown


def test_swipe_shows_the_imagery_to_its_right(opened):
    page = opened()
    slide(page, "opacity", 100)
    (x, y), (left, _) = middle(page, 0.7), middle(page, 0.35)
    before = colour(page, x, y), colour(page, left, y)
    slide(page, "swipe", 50)
    after = colour(page, x, y), colour(page, left, y)
    assert after[0] != before[0]
    assert after[1] == before[1]


def test_a_click_shows_class_probabilities_and_series(opened):
    page = opened()
    page.mouse.click(*middle(page))
    page.wait_for_selector(".series .chart canvas", timeout=WAIT)
    assert page.locator("#pixel-content dl").first.inner_text()
    assert page.locator(".bars li").count() == 3
    assert page.locator(".series table tbody tr").count() > 5
    assert page.faults == []


def test_keyboard_alone_opens_a_pixel(opened):
    page = opened()
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.classList.contains('map')"):
            break
    place = page.url
    page.keyboard.press("+")
    page.keyboard.press("ArrowRight")
    page.wait_for_timeout(900)
    assert page.url != place
    page.keyboard.press("Enter")
    page.wait_for_selector(".series .chart", timeout=WAIT)
    assert page.locator("#status").inner_text()


def test_a_link_opens_the_same_view(opened, viewer):
    page = opened()
    page.mouse.click(*middle(page))
    page.wait_for_selector(".bars", timeout=WAIT)
    page.select_option("#layer", "confidence")
    page.check("#show-polygons")
    page.wait_for_timeout(500)
    link = page.url.removeprefix(viewer.address)
    again = opened(link)
    assert again.locator("#layer").input_value() == "confidence"
    assert again.locator("#show-polygons").is_checked()
    again.wait_for_selector(".bars", timeout=WAIT)
    heading = "#pixel-content h3 >> nth=0"
    assert again.locator(heading).inner_text() == page.locator(heading).inner_text()


def test_scale_coordinates_and_link_of_a_map_in_degrees(opened, tmp_path):
    """At 57 degrees north, 0.0001 degrees are 6.1 m from west to east."""
    codes = random_codes()[0]
    place = ("EPSG:4326", Affine(0.0001, 0, 2.3, 0, -0.0001, 57))
    viewer = Viewer((open_viewed(delivered(tmp_path / "map", codes, place).folder),))
    viewer.start()
    try:
        page = opened(at=viewer)
        line = page.locator(".ol-scale-line-inner")
        length, unit = line.inner_text().split()
        resolution = float(
            parse_qs(urlsplit(page.url).fragment)["at"][0].split(",")[2]
        )  # degrees in a pixel of the screen
        width = line.bounding_box()["width"] * resolution / 0.0001 * 6.06
        assert unit == "m"
        assert float(length) == pytest.approx(width, rel=0.05)
        page.mouse.click(*middle(page))
        page.wait_for_selector("#pixel-content dl", timeout=WAIT)
        x, y = (float(value) for value in page.locator("#position").inner_text().split(" · ")[0].split())
        assert abs(x - 2.3035) < 1e-4
        assert abs(y - 56.997) < 1e-4
        assert "2.30345 · 56.99705" in page.locator("#pixel-content").inner_text()
        page.evaluate("document.querySelector('.zoom button').click()")
        page.wait_for_timeout(600)
        centre = parse_qs(urlsplit(page.url).fragment)["at"][0].split(",")
        assert float(centre[0]) == pytest.approx(2.3035, abs=1e-6)
        assert float(centre[1]) == pytest.approx(56.997, abs=1e-6)
    finally:
        viewer.stop()


def test_two_runs_show_the_band_of_one_name(opened, tmp_path):
    """The second run has the sources in another order, or lacks one."""
    first = with_dates(tmp_path / "a", s2=10, s1=31, pan=3)
    viewer = Viewer((first, with_dates(tmp_path / "b", s1=12, s2=40)))
    viewer.start()
    try:
        page = opened(at=viewer)

        def asked_by(chooser: str, value: str) -> set[str]:
            page.asked.clear()
            page.select_option(chooser, value)
            page.wait_for_timeout(1000)
            tiles = [urlsplit(one) for one in page.asked if "/layer/" in one]
            return {f"{one.path.split('/layer/')[1].split('/')[0]} {one.query}" for one in tiles}

        assert asked_by("#layer", "validity") == {"0 band=1", "1 band=2"}
        assert asked_by("#band", "2") == {"0 band=2", "1 band=1"}
        assert asked_by("#band", "3") == {"0 band=3"}
        assert page.faults == []
    finally:
        viewer.stop()


def test_both_dates_of_a_day_are_in_the_series(opened):
    """Two orbits pass on one day, and one of the images is masked."""
    dates = {"days": [19000, 19000, 19012], "clear": [True, False, True], "values": [[-11.5, None, -13.25]]}
    answer = [{"name": "s1", "dated": True, "bands": ["vv"], "filled": None, **dates}]
    page = opened()
    page.route("**/series/**", lambda route: route.fulfill(json=answer))
    page.mouse.click(*middle(page))
    page.wait_for_selector(".series .chart", timeout=WAIT)
    page.click(".series details summary")
    rows = [row.split("\t")[1:] for row in page.locator(".series tbody tr").all_inner_texts()]
    assert rows == [["-11.5", "clear"], ["–", "masked"], ["-13.25", "clear"]]


def test_the_ends_of_a_colour_ramp_have_their_values(opened):
    page = opened()
    page.select_option("#layer", "confidence")
    page.wait_for_function("document.querySelector('#scale-high').textContent === '100'", timeout=WAIT)
    assert page.locator("#scale-low").inner_text() == "0"
    page.select_option("#layer", "probabilities")
    page.wait_for_function("document.querySelector('#scale-high').textContent === '1'", timeout=WAIT)
    assert page.faults == []


def test_markup_in_a_class_name_is_shown_as_text(opened, browser, finished):
    from dataclasses import replace

    from bocage.legend import LandClass, Legend

    run = open_viewed(finished().out)
    evil = "<img src=x onerror=document.body.dataset.hacked=1><b>maize</b>"
    codes = [LandClass(code, evil if k == 0 else f"class {code}") for k, code in enumerate(run.legend.codes)]
    viewer = Viewer((replace(run, legend=Legend(tuple(codes)), name=evil),))
    viewer.start()
    try:
        page = opened(at=viewer)
        page.mouse.click(*middle(page))
        page.wait_for_selector(".series .chart", timeout=WAIT)
        assert evil in page.locator("#legend").inner_text()
        assert page.evaluate("document.body.dataset.hacked") is None
        assert page.locator("#panel b").count() == 0
    finally:
        viewer.stop()


def test_a_code_with_two_meanings_has_a_line_for_each_run(opened, finished):
    from dataclasses import replace

    from bocage.legend import LandClass, Legend

    run = open_viewed(finished().out)
    classes = list(run.legend.classes)
    other = Legend((LandClass(classes[0].code, "rice", "#123456"), *classes[1:]))
    viewer = Viewer((replace(run, name="first"), replace(run, legend=other, name="second")))
    viewer.start()
    try:
        page = opened(at=viewer)
        lines = page.locator("#legend li").all_inner_texts()
        assert lines == [f"{classes[0].name} (first)", "rice (second)", *(one.name for one in classes[1:])]
        boxes = page.locator(f"#legend input[value='{classes[0].code}']")
        boxes.first.uncheck()
        assert not boxes.nth(1).is_checked()
        page.locator("#all").click()
        assert boxes.first.is_checked()
        assert page.faults == []
    finally:
        viewer.stop()


def test_the_bands_of_clear_dates_are_the_sources(opened, finished):
    run = open_viewed(finished(more='layers = ["classes", "confidence", "probabilities", "validity"]').out)
    layer = run.layers["validity"]
    run.layers["validity"] = type(layer)(layer.path, (*layer.bands, "s1: clear dates"), (*layer.scales, 1.0))
    viewer = Viewer((run,))
    viewer.start()
    try:
        page = opened("?lang=fr", at=viewer)
        page.select_option("#layer", "validity")
        assert page.locator("#band option").all_inner_texts() == ["s2", "s1"]
    finally:
        viewer.stop()


@pytest.mark.parametrize("look", ["desk", "phone", "dark", "french"])
def test_accessibility_finds_no_serious_fault(opened, look):
    if not AXE.exists():
        pytest.skip("axe-core is not installed (make viewer)")
    page = opened(
        "?lang=fr" if look == "french" else "",
        viewport=PHONE if look == "phone" else DESK,
        color_scheme="dark" if look == "dark" else "light",
    )
    page.mouse.click(*middle(page))
    page.wait_for_selector(".series .chart", timeout=WAIT)
    page.check("#show-polygons")
    page.add_script_tag(content=AXE.read_text(encoding="utf-8"))
    found = page.evaluate("axe.run()")["violations"]
    serious = [(v["id"], v["nodes"][0]["html"]) for v in found if v["impact"] in ("serious", "critical")]
    assert serious == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.locator("html").get_attribute("lang") == ("fr" if look == "french" else "en")


def test_two_runs_move_together(opened, finished):
    both = tuple(
        open_viewed(finished(more=more).out) for more in ("", 'layers = ["classes", "confidence", "probabilities"]')
    )
    viewer = Viewer(both)
    viewer.start()
    try:
        page = opened(at=viewer)
        assert page.locator(".map").count() == 2
        page.mouse.click(*middle(page))
        page.wait_for_selector(".series .chart", timeout=WAIT)
        # The answer of the other run may come later.
        page.wait_for_function("document.querySelector('#pixel-content dl').innerText.includes('tiny')", timeout=WAIT)
        assert "tiny" in page.locator("#pixel-content dl").first.inner_text()
        assert page.faults == []
    finally:
        viewer.stop()
