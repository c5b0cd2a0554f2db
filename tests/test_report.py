"""The page a person reads: in two languages, by itself, with every number also as JSON."""

import json
import re
from dataclasses import fields, replace
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from matplotlib.figure import Figure
from odc.geo import CRS

from bocage.api import Labels
from bocage.cli import main
from bocage.evaluation import Corrected
from bocage.grid import Grid, Window
from bocage.jobs.run import run
from bocage.layout import RunLayout
from bocage.legend import COARSER, PALETTE, ClassSet, LandClass, Legend, nomenclature
from bocage.mapping import Areas
from bocage.recipe import read_recipe
from bocage.report import figures
from bocage.report.examples import reference_picture
from bocage.report.palette import alike
from bocage.report.sections.area import by_model
from bocage.report.sections.land_cover import palette_warnings
from bocage.samples import Samples, Split
from bocage.training import Training
from bocage.words import number, whole, words_of
from conftest import GRU, written

UNREAD = ("style", "script", "pre", "code")


class Page(HTMLParser):
    """What a browser would do with a page: addresses it would fetch, pictures without a text, texts that it shows."""

    def __init__(self, text):
        super().__init__()
        self.addresses, self.silent, self.shown, self.inside = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.addresses += [found[key] for key in ("src", "href", "xlink:href", "poster", "action") if found.get(key)]
        self.addresses += re.findall(r"url\(([^)]+)\)", found.get("style") or "")
        if tag == "img" and not found.get("alt"):
            self.silent.append(found)
        if tag == "svg" and not found.get("aria-label"):
            self.silent.append(found)
        if tag == "html":
            self.language = found["lang"]
        self.shown += [found[key] for key in ("alt", "aria-label") if found.get(key)]
        self.inside += [tag] if tag in UNREAD or found.get("class") == "mono" else []

    def handle_endtag(self, tag):
        if self.inside and tag == self.inside[-1]:
            self.inside.pop()

    def handle_data(self, data):
        if not self.inside and data.strip():
            self.shown.append(data.strip())


def page_of(path):
    text = path.read_text(encoding="utf-8")
    page = Page(text)
    outside = [a for a in page.addresses if not a.startswith(("data:", "#"))]
    assert not outside, "nothing is fetched"
    assert "@import" not in text
    assert not re.findall(r"url\((?!#|&quot;#|\"#|data:)", text), "no style fetches anything"
    assert not page.silent, "every picture has a text"
    ids = re.findall(r'\bid="([^"]+)"', text)
    assert len(ids) == len(set(ids)), "ids of charts do not collide"
    return text, page


def foreign(page):
    """Texts of a French page that are English, or that are not written as French is."""
    french = "\n".join(words_of("fr").values())
    parts = {part.strip() for text in words_of("en").values() for part in re.split(r"\{[^}]*\}", text)}
    parts = {part for part in parts if len(part) > 4 and part not in french}
    settings = re.compile(
        "|".join(rf"\b{one.name}\b" for one in fields(Training))
    )  # words of a recipe are not translated
    shown = [settings.sub("", text) for text in page.shown]
    candidates = ((part, text) for text in shown for part in parts if part in text)  # an expression is slow
    english = [(part, text) for part, text in candidates if re.search(rf"\b{re.escape(part)}", text)]
    signs = [text for text in page.shown if re.search(r" [%:;?!±»]|« |\d %", text)]
    return english + signs


def test_a_page_in_english_is_foreign_to_french():
    assert foreign(Page(f"<p>{words_of('en')['note_no_grid_remedy']}</p>"))
    assert foreign(Page("<svg><text>80 % : non</text></svg>"))
    assert not foreign(Page("<p>80\u00a0% des pixels</p><pre>a : b</pre>"))


def test_the_page_is_whole_and_alone(finished):
    out = finished(GRU).out
    text, page = page_of(out / "report.html")
    assert page.language == "en"
    assert "Summary" in text
    assert "prefers-color-scheme: dark" in text
    assert "@media print" in text
    assert "oninput" in text, "the map can be swiped over the imagery"
    said = json.loads((out / "report.json").read_text())
    assert len(said["summary"]) == 5
    assert all(sentence in text.replace("&#39;", "'") for sentence in said["summary"])
    score = json.loads((out / "score.json").read_text())
    assert said["score"]["overall_accuracy"] == score["overall_accuracy"]
    assert said["area"] is None, "polygons chosen without a design have no interval"
    assert "95 % interval" not in text
    assert sum(said["mapped_pixels"].values()) > 0
    assert set(said["importance"]["by_source"]) == {"s2"}
    assert len(said["importance"]["by_date"]["s2"]) == len(said["importance"]["days"]["s2"])
    json.dumps(said, allow_nan=False)


def test_areas_corrected_by_the_model_of_confusions(finished):
    out = finished().out
    said, score = (json.loads((out / name).read_text()) for name in ("report.json", "score.json"))
    assert said["area_model"] == score["area_model"]
    assert said["area_model"]["misfit"] < 0.005
    assert "area corrected by the model" in (out / "report.html").read_text()


@pytest.mark.parametrize("language", ["en", "fr"])
def test_areas_that_the_model_of_confusions_cannot_give_are_not_reported(
    finished, tmp_path, monkeypatch, capsys, language
):
    monkeypatch.setattr("bocage.evaluation.correction.MISFIT", -1.0)
    one = finished()
    out, recipe = one.copied(tmp_path / "out"), one.recipe.with_name(f"{tmp_path.name}.toml")
    recipe.write_text(one.recipe.read_text() + f'[report]\nlanguage = "{language}"\n')
    assert main(["report", str(recipe), "--out", str(out), "--overwrite"]) == 0
    assert "No areas are estimated: the rates of confusion" in " ".join(capsys.readouterr().err.split())
    (text, page), w = page_of(out / "report.html"), words_of(language)
    assert w["area_unadjusted_misfit"].partition("{")[0] in unescape(text)
    assert w["area_model"] not in text
    said = json.loads((out / "report.json").read_text())
    assert (said["area_model"], said["areas_are_adjusted"]) == (None, False)
    if language == "fr":
        assert not foreign(page)


@pytest.mark.parametrize("language", ["en", "fr"])
def test_the_report_says_why_a_class_has_no_model_error(language):
    legend = Legend((LandClass(1, "maize"), LandClass(2, "vine")))
    areas = Areas(legend, np.array([60, 40]), np.array([6.0, 4.0]))
    found = Corrected((0.7, 0.3), (0.1, np.nan), (0.6, 0.4), legend.names, 5)
    shown = by_model(found, areas, language)
    assert [row["error"] for row in shown["rows"]] == [number(1, language, 1), "–"]
    assert shown["few"] == words_of(language)["area_model_alone"].format(classes="vine")
    assert by_model(replace(found, error=(0.1, 0.1)), areas, language)["few"] == ""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("split", "unit"), [("folds = 3", "polygons"), ('folds = 2\nunit = "block"\nblock = 100', "spatial blocks")]
)
def test_the_parts_of_a_fold_are_counted_in_its_units(recipe, tmp_path, split, unit):
    run(read_recipe(recipe(**{"draws = 2": "", "train = 0.5": split})), tmp_path / "run")
    page = (tmp_path / "run/report.html").read_text(encoding="utf-8")
    trust = json.loads((tmp_path / "run/score.json").read_text(encoding="utf-8"))["trust"][0]
    expected = {"train": whole(trust["train_units"], "en"), "test": whole(trust["test_units"], "en"), "unit": unit}
    assert words_of("en")["split_about"].format(draw=1, **expected) in page


def test_the_report_answers_whether_confidence_can_be_believed():
    from bocage.evaluation import Predictions, trust_of
    from bocage.report.sections.confidence import answer, in_words

    def draws(*accuracies, sure=0.9):
        for accuracy in accuracies:
            label, confidence = np.zeros(1000, np.int16), np.full(1000, sure, np.float32)
            predicted = (np.arange(1000) >= 1000 * accuracy).astype(np.int16)
            yield trust_of(
                Predictions(label, label, label, label, predicted, confidence, confidence), label, None, (1, 1)
            )

    good = answer(tuple(draws(0.88, 0.9)))
    assert (good["key"], good["claimed"], good["sure"]) == ("believe_yes", pytest.approx(0.9), pytest.approx(0.89))
    assert (good["low"], good["high"]) == (pytest.approx(0, abs=1e-6), pytest.approx(0.02, abs=1e-6))
    assert answer(tuple(draws(0.82)))["key"] == "believe_partly"
    wrong = answer(tuple(draws(0.5)))
    assert (wrong["key"], wrong["error"], wrong["share"]) == ("believe_no", pytest.approx(0.4), pytest.approx(1))
    assert "By draw: 0.0 to 2.0 points. " in in_words(tuple(draws(0.88, 0.9)), "en")
    never = in_words(tuple(draws(0.3, sure=0.3)), "en")
    assert "By draw" not in never
    assert never.endswith("accuracy: 30.0 %. No test pixel has a confidence of 80 % or more.")


@pytest.mark.parametrize(
    ("season", "partial", "said", "not_said"),
    [
        ([], {}, ("a temperature (1.00)", "in 0 of 2 draws"), "of their own"),
        ([], {"s1": 1.5, "s2": 1.0}, ("a temperature (1.00)", "temperatures of their own (1.00 – 1.50)"), "season"),
        (
            [[100.0, 1.2], [130.0, 0.8], [160.0, 0.9]],
            {"s1": 1.0},
            ("0.80 – 1.20 over", "and 0.90 at its end"),
            "2 draws",
        ),
    ],
)
def test_the_report_names_the_temperature_that_is_applied(tmp_path, season, partial, said, not_said):
    from bocage.report.sections.confidence import _temperature

    for draw in range(2):
        model = RunLayout(tmp_path).split(draw).model
        model.path.mkdir(parents=True)
        about = {"temperature": 1.0, "samples": 90, "polygons": 12, "partial": partial, "season": season}
        model.description.write_text(json.dumps({"calibration": about}))
    text = _temperature(RunLayout(tmp_path), 2, "en")
    assert all(one in text for one in (*said, "12 held-out polygons"))
    assert not_said not in text
    assert "{" not in _temperature(RunLayout(tmp_path), 2, "fr")


@pytest.mark.slow
def test_the_page_in_french(recipe, landscape, monkeypatch, capsys):
    monkeypatch.chdir(landscape)
    assert main(["run", str(recipe(more='[report]\nlanguage = "fr"')), "--out", "out"]) == 0
    text, page = page_of(Path("out/report.html"))
    assert page.language == "fr"
    for term in ("exactitude du producteur", "exactitude globale", "Matrice de confusion", "Test de fuite", "kappa"):
        assert term in text
    assert not foreign(page)
    assert re.search(r"<b>\d,\d{3}\u00a0±\u00a0\d,\d{3}</b>", text), "numbers have a decimal comma"
    points = [text for text in page.shown if re.search(r"\d\.\d", text)]
    assert len(points) == 1, "so have the charts"
    assert points[0].startswith("python "), "only versions of packages have points"
    said = json.loads(Path("out/report.json").read_text())
    assert said["summary"][1].startswith("Overall accuracy on test polygons"), "texts for programs are English"


@pytest.mark.slow
def test_changing_the_language_redoes_the_report_alone(finished, tmp_path, capsys):
    run = finished(GRU)
    out = run.copied(tmp_path / "out")
    trained = (out / "splits/0/model/trained.json").stat().st_mtime_ns
    french = written(run.recipe.parent, GRU, more='[report]\nlanguage = "fr"', name="french.toml")
    assert main(["report", str(french), "--out", str(out)]) == 0
    assert 'lang="fr"' in (out / "report.html").read_text()
    assert (out / "splits/0/model/trained.json").stat().st_mtime_ns == trained


@pytest.mark.slow
def test_imagery_that_has_moved_leaves_a_report_without_it(recipe, landscape, monkeypatch, capsys):
    from bocage.errors import SourceError
    from bocage.report import imagery

    def moved(*arguments):
        raise SourceError("gone")

    monkeypatch.chdir(landscape)
    monkeypatch.setattr(imagery, "dates_of", moved)
    assert main(["run", str(recipe()), "--out", "out"]) == 0
    text, _ = page_of(Path("out/report.html"))
    assert "oninput" not in text
    assert "map/classes.tif" in text


def test_colours_that_look_alike_are_told():
    assert not alike([str(i) for i in range(14)], PALETTE[:14]), "ours can be told apart, in greyscale too"
    found = alike(["crops", "forest", "water"], ["#d62728", "#2ca02c", "#1f77b4"])
    assert [(pair.vision, pair.first, pair.second) for pair in found] == [
        ("deutan", "crops", "forest"),
        ("grey", "crops", "water"),
    ]
    assert alike(["a", "b"], ["#777777", "#787878"])[0].vision == "normal"


def test_a_table_has_a_report_without_a_map(tmp_path):
    from bocage.report.figures import importance_picture, split_picture

    w = words_of("en")
    picture = split_picture(
        {"train": np.array([[0.0, 0.0], [5.0, 900.0]]), "test": np.array([[40.0, 80.0]])}, w, 'a "map"'
    )
    assert picture.startswith('<svg role="img" aria-label="a &quot;map&quot;"')
    assert "currentColor" in picture
    assert "#010203" not in picture
    assert "<metadata>" not in picture
    assert "s1" in importance_picture({"s1": ([0, 10], [0.1, -0.1])}, w)


@pytest.mark.parametrize("section", ['language = "de"', "examples = -1", 'langage = "fr"'])
def test_what_the_report_cannot_do_is_told(recipe, landscape, monkeypatch, capsys, section):
    monkeypatch.chdir(landscape)
    assert main(["run", str(recipe(more=f"[report]\n{section}")), "--out", "out"]) == 1
    assert "problem: report" in capsys.readouterr().err


def test_a_chip_of_the_reference_has_the_colours_of_coarser_classes_and_none_for_sets():
    """Labels of coarser classes and sets are negative: as positions they would be other classes, from the end."""
    classes = [LandClass(10, "crops", "#ff0000"), LandClass(2, "water", "#0000ff")]
    classes += [LandClass(11, "maize", "#ffff00", parent="crops"), LandClass(12, "wheat", "#00ff00", parent="crops")]
    legend = nomenclature(classes).with_sets([ClassSet(("maize", "water"))])
    label = np.array([0, 1, 2, COARSER, COARSER - 1])
    place = np.full(5, 7), np.arange(5) + 3
    samples = Samples(*place, label, label, label, legend, (), (), {}, Split())
    picture = reference_picture(samples, Window(6, 3, 2, 6))
    opaque = [(*legend.whole.rgb(k), 255) for k in range(4)]
    assert legend.whole.names == ("water", "maize", "wheat", "crops")
    assert [tuple(pixel) for pixel in picture[1].tolist()] == [*opaque, (0, 0, 0, 0), (0, 0, 0, 0)]
    assert not picture[0].any()
    assert not reference_picture(samples, Window(20, 20, 2, 2)).any()
    rows = Labels(samples, {}, "").to_geodataframe()
    assert rows["code"].tolist() == [2, 11, 12, 10, 0]
    assert rows["class"].tolist() == ["water", "maize", "wheat", "crops", "maize or water"]


@pytest.mark.parametrize(("f1", "panels"), [("nan", 1), ("0.7", 2)])
def test_the_validation_curve_is_drawn_only_if_there_were_validation_polygons(tmp_path, f1, panels):
    rows = "".join(f"{epoch},{5 / epoch},{f1},{f1},0,{epoch // 3}\n" for epoch in (1, 2, 3))
    (tmp_path / "curves.csv").write_text("epoch,train_loss,validation_loss,validation_f1,waiting,kept\n" + rows)
    svg = figures.curves_picture([tmp_path / "curves.csv"], words_of("fr"))
    assert svg.count('id="curves-axes_') == panels
    assert ("validation" in re.sub(r"aria-label=\"[^\"]*\"", "", svg)) == (panels == 2)
    assert ">2<" in svg
    assert "10^" not in svg


class _Series:
    """A source whose values depend on date, band, row and column of the grid; it notes the numbers of values that are read."""

    name, bands, days = "series", ("red", "green", "blue", "nir"), np.arange(20, dtype=np.int32)

    def __init__(self):
        self.read_at_once = []

    def read(self, grid, window, resampling="nearest"):
        y, x = np.meshgrid(
            *(np.arange(a, a + n) for a, n in ((window.y, window.height), (window.x, window.width))), indexing="ij"
        )
        t, c = self.days[:, None, None, None], np.arange(len(self.bands))[:, None, None]
        values = ((7 * t * y + 3 * c * x + 5 * t * x) % 101).astype(np.float32)
        valid = (y + 2 * x + self.days[:, None, None]) % 7 > 2
        valid[:, (y > 90) & (x > 90)] = False
        self.read_at_once.append(values.size)
        return values, valid


def test_memory_of_a_picture_depends_on_its_size_only_and_the_picture_not_on_its_parts(monkeypatch):
    from bocage.report import imagery

    grid = Grid.of(CRS("EPSG:32631"), Affine(10, 0, 500_000, 0, -10, 5_600_000), (101, 130))
    pictures = []
    for most in (1 << 22, 100_000, 1):
        monkeypatch.setattr(imagery, "AT_ONCE", most)
        source = _Series()
        pictures.append(imagery.composite(source, grid)[0])
        row = len(source.days) * len(source.bands) * grid.shape[1]
        assert max(source.read_at_once) <= max(most, row)
        assert sum(source.read_at_once) == grid.shape[0] * row, "every row is read once"
    values, valid = _Series().read(grid, grid.window)
    red = np.nanmedian(np.where(valid[:, None], values, np.nan)[:, 0, :50, :50], axis=0)
    low, high = imagery.stretch_of(_Series(), grid)["red"]
    np.testing.assert_allclose(pictures[0][:50, :50, 0], np.clip((red - low) / (high - low), 0, 1))
    assert (pictures[0][95:, 95:] == 1).all(), "white without a valid date"
    for other in pictures[1:]:
        np.testing.assert_array_equal(other, pictures[0])


# --- colours of many classes
@pytest.mark.parametrize("language", ["en", "fr"])
def test_the_colours_of_many_classes_are_few_notes(language):
    legend = Legend(tuple(LandClass(i + 1, f"class {i + 1}") for i in range(150)))
    notes = palette_warnings(legend, language)
    assert {"en": "100 classes share their colour", "fr": "100 classes partagent leur couleur"}[language] in notes[0]
    assert sum(map(len, notes)) < 2000
    assert max(note.count(" – ") for note in notes) == 10
    (other,) = [note for note in notes if {"en": "greyscale", "fr": "niveaux de gris"}[language] in note]
    assert {"en": " other pairs", "fr": " autres paires"}[language] in other


def test_the_classes_after_the_twentieth_have_colours_of_their_own():
    colors = Legend(tuple(LandClass(i + 1, f"class {i + 1}") for i in range(100))).colors
    assert (len(set(colors)), colors[0], colors[19], colors[20]) == (100, "#e4bd20", "#205b96", "#472020")
    near = [pair for pair in alike([str(i) for i in range(50)], colors[:50]) if pair.vision != "grey"]
    assert all(int(pair.first) < 20 and int(pair.second) < 20 for pair in near)


def test_two_classes_with_one_colour_of_the_recipe_are_a_pair():
    legend = Legend((LandClass(1, "maize", color="#808000"), LandClass(2, "meadow", color="#808000")))
    (note,) = palette_warnings(legend, "en")
    assert "(normal colour vision): maize – meadow. Choose" in note


def test_no_class_has_by_default_the_colour_that_another_one_was_given():
    """Neither a class of the map, nor a coarser one, which has one colour in the report and in certain.tif."""
    given = PALETTE[1].upper()
    classes = [LandClass(10, "crops", given), LandClass(20, "trees"), LandClass(1, "maize", parent="crops")]
    legend = nomenclature([*classes, LandClass(2, "palms", parent="trees"), LandClass(3, "pines", parent="trees")])
    whole = dict(zip(legend.whole.names, legend.whole.colors, strict=True))
    assert (whole["maize"], whole["pines"], whole["crops"]) == (PALETTE[0], PALETTE[2], given)
    assert len({color.lower() for color in whole.values()}) == 5
    assert legend.colors == tuple(whole[name] for name in legend.names)
    assert legend.level(1).colors == tuple(whole[name] for name in legend.level(1).names)


# --- names that look like formulas
FORMULA = r"a $\foo$ b"


def test_dollar_signs_in_names_are_no_formula():
    w = words_of("en")
    drawn = figures.attention_picture(FORMULA, [0, 10], [[0.5, 0.5], [0.1, 0.9]], [FORMULA, "$x$"], w)
    assert drawn.count(f">{FORMULA}<") == 2
    assert ">$x$<" in drawn
    assert f">{FORMULA}<" in figures.importance_picture({FORMULA: ([0, 10], [0.1, 0.2])}, w)
    figure, (axes,) = figures.axes_of((3, 3))
    axes.plot([0, 1], label=FORMULA)
    axes.set_title(FORMULA)
    axes.legend()
    assert f">{FORMULA}<" in figures.as_svg(figure, "any", w, "")
    plain = Figure()
    plain.add_subplot().set_yticks([0, 1], [FORMULA, FORMULA])
    assert figures.as_data(plain).startswith("data:image/png")
