"""Pictures and pages of reports: legible with any extent, dates, epochs and colours, and for readers with a keyboard only."""

import datetime
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from affine import Affine
from matplotlib.figure import Figure

from bocage.evaluation.season import Interval
from bocage.grid import Grid
from bocage.preflight import Preflight
from bocage.preflight.dates import Clearness
from bocage.report import figures, preflight, season_figures
from bocage.words import words_of

PAGES = Path(figures.__file__).parent


# --- pictures of unusual extents, dates and epochs
@pytest.fixture
def figure(monkeypatch):
    """Draw a picture, and return its figure."""

    def draw(picture, *inputs) -> Figure:
        found = []
        for module in (figures, season_figures):
            monkeypatch.setattr(module, "as_svg", lambda one, *_: found.append(one) or "")
        picture(*inputs)
        found[0].draw_without_rendering()
        return found[0]

    return draw


@pytest.mark.parametrize(("height", "width"), [(100, 10_000), (20_000, 300), (1500, 2999)])
def test_the_legend_and_the_scale_of_the_split_are_beside_the_polygons(figure, height, width):
    rng = np.random.default_rng(1)
    parts = {name: np.append(rng.random((20, 2)), [[0, 0], [1, 1]], 0) * (height, width) for name in ("train", "test")}
    drawn = figure(figures.split_picture, parts, words_of("en"), "")
    (axes,), (legend,) = drawn.axes, drawn.legends
    box, (bar,) = legend.get_window_extent(), axes.lines
    places = np.concatenate([axes.transData.transform(one.get_offsets()) for one in axes.collections])
    assert (places[:, 1] < box.y0).all()
    assert (places[:, 1] > bar.get_window_extent().y1).all()
    assert not any(one.get_clip_on() for one in axes.collections)
    assert bar.get_window_extent().width > 15


def test_a_curve_of_one_epoch_is_seen_and_its_epoch_is_a_whole_number(figure, tmp_path):
    head = "epoch,train_loss,validation_loss,validation_f1,waiting,kept\n"
    (tmp_path / "curves.csv").write_text(head + "1,0.7,0.9,0.4,0,1\n")
    for axes in figure(figures.curves_picture, [tmp_path / "curves.csv"], words_of("en")).axes:
        assert all(line.get_marker() == "o" for line in axes.lines)
        low, high = axes.get_xlim()
        assert {tick for tick in axes.get_xticks() if low <= tick <= high} == {0, 1, 2}


def test_the_weight_of_a_date_before_a_long_gap_does_not_fill_the_gap(figure):
    drawn = figure(
        figures.attention_picture, "s2", [100, 110, 120, 300], [[0.1, 0.2, 0.6, 0.1]], ["maize"], words_of("en")
    )
    (cells,) = drawn.axes[0].collections
    edges, weights = cells.get_coordinates()[0, :, 0], cells.get_array().filled(-1)[0]
    assert edges.tolist() == [95, 105, 115, 125, 295, 305]
    np.testing.assert_allclose(weights, [10, 20, 60, -1, 10])
    assert cells.get_clim()[0] == 0


@pytest.mark.parametrize("count", [2, 40])
def test_the_classes_of_a_season_are_all_in_the_legend_below_the_curves(figure, count):
    names = tuple(f"a class with a long name, {k}" for k in range(count))
    days = [datetime.date(2022, month, 1) for month in (3, 5, 7)]
    values = [Interval(0.5, 0.4, 0.6)] * 3
    accuracy = SimpleNamespace(
        names=names, untested=(), days=days, f1=lambda k: values, accuracy=lambda: values, confidence=lambda: values
    )
    found = SimpleNamespace(once=accuracy, retrained=None, wanted=0.8)
    drawn = figure(season_figures.pictures, found, dict.fromkeys(names, "#1b7f5c"), words_of("en"))
    (legend,) = drawn.legends
    assert [text.get_text() for text in legend.get_texts()] == list(names)
    below = legend.get_window_extent().y1
    assert all(axes.get_window_extent().y0 > below and axes.get_window_extent().height > 150 for axes in drawn.axes)


class _Strip:
    """A source of one date."""

    name, bands, days, times, ids = "strip", ("pan",), np.array([0]), (0,), None

    def read(self, grid, window, resampling):
        return np.ones((1, 1, window.height, window.width)), np.ones((1, window.height, window.width), bool)


def test_the_page_of_a_strip_has_a_picture_of_usual_size_and_colours_for_everyone(tmp_path, monkeypatch):
    """More usable pixels are lighter, which every kind of vision sees."""
    drawn = []
    monkeypatch.setattr(preflight, "as_data", lambda figure: drawn.append(figure) or "")
    grid = Grid.of("EPSG:32740", Affine(10, 0, 300_000, 0, -10, 7_650_000), (420, 3))
    days = (datetime.datetime(2022, 1, 1), datetime.datetime(2022, 2, 1))
    seen = Preflight(
        "strip", sources={"strip": _Strip()}, grid=grid, clear={"strip": Clearness(days, np.array([0, 1]))}
    )
    preflight.write_page(seen, tmp_path / "page.html")
    assert max(max(figure.get_size_inches()) for figure in drawn) < 12
    (dots,) = [
        one for figure in drawn for axes in figure.axes for one in axes.collections if len(one.get_offsets()) == 2
    ]
    none, half, every = (_luminance(dots.to_rgba(share, bytes=True)[:3]) for share in (0, 50, 100))
    assert none + 0.1 < half < every - 0.1


# --- pages for everyone
def _luminance(rgb):
    linear = np.where((share := np.array(rgb) / 255) <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_counts_of_the_confusion_matrix_can_be_read_on_the_darkest_cell(scheme):
    """WCAG 2.1, 1.4.3: a contrast of 4.5."""
    style = (PAGES / "style.css").read_text(encoding="utf-8")
    ink, paper = (re.findall(rf"--{name}: #(\w{{6}})", style)[scheme] for name in ("ink", "paper"))
    cell = [int(value) for value in re.findall(r"--cell: (\d+), (\d+), (\d+)", style)[scheme]]
    ink, paper = ([int(value[k : k + 2], 16) for k in (0, 2, 4)] for value in (ink, paper))
    for share in (0, 0.5, 1):
        ground = 0.75 * share * np.array(cell) + (1 - 0.75 * share) * np.array(paper)
        low, high = sorted((_luminance(ink), _luminance(ground)))
        assert (high + 0.05) / (low + 0.05) >= 4.5


@pytest.mark.parametrize("page", sorted(one.name for one in PAGES.glob("*.html")))
def test_wide_tables_can_be_moved_by_keyboard_and_pages_have_a_main_part(page):
    text = (PAGES / page).read_text(encoding="utf-8")
    assert text.count('class="scroll"') == text.count('class="scroll" tabindex="0"')
    assert text.count("<body>") == text.count("<main>")
    assert text.count("</body>") == text.count("</main>")
