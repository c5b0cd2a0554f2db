"""A validation sample of the map: drawn, labelled, evaluated; and what cannot be made of it."""

import json
import shlex
from dataclasses import replace
from html import unescape
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import rasterio
import shapely
from pyproj import Transformer

from bocage.api import Project
from bocage.cli import main
from bocage.errors import EvaluationError
from bocage.evaluation.sample import Drawn
from bocage.evaluation.sample_labels import meaning_of
from bocage.jobs.evaluate import OUTSIDE, mapped_at
from bocage.jobs.sample_design import map_of
from bocage.legend import ClassSet, LandClass, Legend
from bocage.recipe import read_recipe
from bocage.run import open_scene
from bocage.words import number, words_of
from conftest import FOREST, GRU
from test_report import foreign, page_of


@pytest.fixture
def mapped(finished, tmp_path, monkeypatch):
    """The recipe of a run with a map, which a test may change; the run's folder is ``out``."""
    found = finished(more="[evaluation]\nimportance = 0")
    records = found.copied(tmp_path / "out") / "provenance.json"
    own = found.recipe.with_name(f"{tmp_path.name}.toml")
    own.write_text(found.recipe.read_text())
    records.write_text(records.read_text().replace(str(found.recipe.resolve()), str(own.resolve())))
    monkeypatch.chdir(tmp_path)
    return own


def design(path, *more):
    return main(["sample-design", str(path), "--out", "out", "--size", "90", "--least", "20", *more])


def labels(values, out="out"):
    """Fill the sample's labels; `values` says them by position, from the codes of the map."""
    table = gpd.read_file(f"{out}/validation.gpkg")
    drawn = Drawn.load(Path(f"{out}/validation.gpkg"))
    table["label"] = [str(value) for value in values(drawn)]
    table.to_file(f"{out}/validation.gpkg")
    return drawn


@pytest.mark.slow
def test_a_sample_is_of_the_map_and_says_nothing_of_it(mapped, capsys):
    assert design(mapped) == 0
    assert "validation.gpkg" in capsys.readouterr().out
    table, drawn = gpd.read_file("out/validation.gpkg"), Drawn.load(Path("out/validation.gpkg"))
    assert set(table.columns) == {"sample", "label", "comment", "geometry"}
    assert table["sample"].tolist() == list(range(1, len(drawn) + 1))
    with rasterio.open("out/map/classes.tif") as dataset:
        codes, pixel = dataset.read(1), dataset.res[0] ** 2
        assert table.crs == dataset.crs
        at = [tuple(map(int, dataset.index(p.x, p.y))) for p in table.geometry.centroid]
    assert table.geometry.area.to_numpy() == pytest.approx(pixel)
    assert [codes[place] for place in at] == drawn.stratum.tolist()
    assert at == list(zip(drawn.row.tolist(), drawn.column.tolist()))
    assert len(set(at)) == len(at), "no pixel twice"
    counts = {int(code): int((codes == code).sum()) for code in np.unique(codes) if code}
    assert drawn.sizes == counts
    assert (np.diff(drawn.stratum) != 0).sum() > 10, "numbers are not sorted by class"
    assert all((drawn.stratum == code).sum() >= min(20, n) for code, n in counts.items())


def test_a_size_below_the_minimum_of_the_classes_is_said(mapped, capsys):
    assert main(["sample-design", str(mapped), "--out", "out", "--size", "10", "--least", "20"]) == 0
    drawn = Drawn.load(Path("out/validation.gpkg"))
    said = " ".join(" ".join(capsys.readouterr()).split())
    assert f"{len(drawn)} pixels are drawn, not 10: each of the {len(drawn.sizes)} classes gets at least 20." in said
    assert design(mapped, "--to", "other.gpkg") == 0
    assert "are drawn, not" not in " ".join(capsys.readouterr())


@pytest.mark.slow
def test_a_labelled_sample_gives_estimates_and_goes_into_the_report(mapped, capsys):
    assert design(mapped) == 0
    drawn = labels(lambda drawn: np.where(np.arange(len(drawn)) % 10 == 0, drawn.stratum % 3 + 1, drawn.stratum))
    assert main(["evaluate", str(mapped), "--out", "out", "--sample", "out/validation.gpkg"]) == 0
    assert "overall accuracy" in capsys.readouterr().out
    said = json.loads(Path("out/sample.json").read_text())
    wrong = np.arange(len(drawn)) % 10 == 0
    size = sum(drawn.sizes.values())
    expected = 1 - sum(n / size * wrong[drawn.stratum == code].mean() for code, n in drawn.sizes.items())
    assert said["overall_accuracy"]["value"] == pytest.approx(expected)
    assert said["overall_accuracy"]["low"] < expected < said["overall_accuracy"]["high"]
    shares = [one["area_share"]["value"] for one in said["per_class"].values()]
    assert sum(shares) == pytest.approx(1)
    assert main(["report", str(mapped), "--out", "out"]) == 0
    assert "validation.gpkg" in Path("out/report.html").read_text()
    assert json.loads(Path("out/report.json").read_text())["sample"]["units"] == len(drawn)


@pytest.mark.slow
def test_the_command_that_evaluate_names_writes_the_report(recipe, tmp_path, monkeypatch, capsys):
    """Also if only the stages up to the map were run, without the test of the model."""
    path = recipe(FOREST, **{"draws = 2": "draws = 1"})
    monkeypatch.chdir(tmp_path)
    for command in ("train", "map"):
        assert main([command, str(path), "--out", "out"]) == 0
    assert design(path) == 0
    labels(lambda drawn: drawn.stratum)
    capsys.readouterr()
    assert main(["evaluate", str(path), "--out", "out", "--sample", "out/validation.gpkg"]) == 0
    command = capsys.readouterr().out.splitlines()[-1].partition("run: ")[2]
    assert main(shlex.split(command)[1:]) == 0
    assert "validation.gpkg" in Path("out/report.html").read_text()


@pytest.mark.slow
def test_the_estimates_of_another_map_are_left_out(mapped, recipe, capsys):
    """After a run with another model, the report has no estimates until the sample evaluates the new map."""
    assert design(mapped) == 0
    labels(lambda drawn: drawn.stratum)
    assert main(["evaluate", str(mapped), "--out", "out", "--sample", "out/validation.gpkg"]) == 0
    assert main(["report", "out"]) == 0
    assert "left out" not in capsys.readouterr().err
    assert json.loads(Path("out/report.json").read_text())["sample"]
    kept = json.loads(Path("out/sample.json").read_text())
    Path("out/sample.json").write_text(json.dumps({key: kept[key] for key in kept if key != "classes"}))
    assert main(["report", "out"]) == 0
    assert "does not record its map (earlier version of Bocage) and is left out" in " ".join(
        capsys.readouterr().err.split()
    )
    assert json.loads(Path("out/report.json").read_text())["sample"] is None
    Path("out/sample.json").write_text(json.dumps(kept))
    other = recipe(GRU, more="[evaluation]\nimportance = 0")
    assert main(["run", str(other), "--out", "out", "--overwrite"]) == 0
    said = " ".join(capsys.readouterr().err.split())
    assert "out/sample.json is of another map and is left out; run 'bocage evaluate --sample' again." in said
    assert json.loads(Path("out/report.json").read_text())["sample"] is None
    assert "validation.gpkg" not in Path("out/report.html").read_text()
    assert Project(read_recipe(other), Path("out"), quiet=True).score().estimates().empty
    assert main(["evaluate", str(other), "--out", "out", "--sample", "out/validation.gpkg"]) == 0
    assert main(["report", "out"]) == 0
    assert json.loads(Path("out/report.json").read_text())["sample"]
    assert not Project(read_recipe(other), Path("out"), quiet=True).score().estimates().empty


@pytest.mark.slow
@pytest.mark.parametrize("language", ["en", "fr"])
def test_a_sample_of_a_map_by_another_model_goes_into_its_report(mapped, capsys, language):
    recipe, out, w = mapped.with_name(f"{language}.toml"), "other map", words_of(language)
    recipe.write_text(mapped.read_text() + f'[report]\nlanguage = "{language}"\n')
    assert main(["map", str(recipe), "--model", "out", "--out", out]) == 0
    assert w["t_no_accuracy"] in unescape(Path(out, "report.html").read_text(encoding="utf-8"))
    assert main(["sample-design", str(recipe), "--out", out, "--size", "90", "--least", "20"]) == 0
    drawn = labels(lambda drawn: np.where(np.arange(len(drawn)) % 10 == 0, drawn.stratum % 3 + 1, drawn.stratum), out)
    capsys.readouterr()
    assert main(["evaluate", str(recipe), "--out", out, "--sample", f"{out}/validation.gpkg"]) == 0
    command = " ".join(capsys.readouterr().out.split()).partition("run: ")[2]
    assert command == "bocage report 'other map'"
    assert main(shlex.split(command)[1:]) == 0
    text, page = page_of(Path(out, "report.html"))
    numbers = json.loads(Path(out, "report.json").read_text(encoding="utf-8"))
    assert numbers["sample"]["units"] == len(drawn)
    assert w["t_no_accuracy"] not in unescape(text)
    assert w["area_sample_about"].format(file="validation.gpkg", n=len(drawn)) in unescape(text)
    overall = numbers["sample"]["overall_accuracy"]["value"]
    assert number(100 * overall, language, 1) in text
    assert w["t_h_measured"] in unescape(text)
    assert w["t_h_estimate"] not in unescape(text)
    if language == "fr":
        assert not foreign(page)


@pytest.mark.slow
def test_polygons_with_inclusion_weights_give_areas_with_intervals(mapped, tmp_path, capsys):
    """Without weights the report has a correction by a model and no interval; weights repeat the report alone."""
    assert main(["report", str(mapped), "--out", "out"]) == 0
    before = json.loads(Path("out/report.json").read_text())
    assert before["area"] is None
    assert sum(one["area_share"] for one in before["area_model"]["per_class"].values()) == pytest.approx(1)
    assert "chosen without a known sampling design" in Path("out/report.html").read_text()
    trained = Path("out/splits/0/model/trained.json").stat().st_mtime_ns
    weighted = mapped.with_name("weighted.toml")
    weighted.write_text(mapped.read_text().replace('label = "code"', 'label = "code"\nweight = "code"'))
    assert main(["report", str(weighted), "--out", "out", "--overwrite"]) == 0
    after = json.loads(Path("out/report.json").read_text())
    assert after["area_model"] is None
    assert after["area"]["overall_accuracy"] == {"value": 1, "error": None, "low": None, "high": None}
    assert "1.000. There is no interval" in Path("out/report.html").read_text()
    assert json.loads(Path("out/score.json").read_text())["area"] == after["area"]
    assert Path("out/splits/0/model/trained.json").stat().st_mtime_ns == trained
    project = Project(read_recipe(weighted), Path("out"), quiet=True)
    assert not project.score().estimates().empty
    table = pd.read_csv("out/map/areas.csv")
    table.loc[0, ["pixels", "hectares"]] *= 2
    table.to_csv("out/map/areas.csv", index=False)
    assert project.score().estimates().empty, "those of the areas of another map"


def test_names_count_as_labels_and_missing_ones_are_told(mapped, capsys):
    assert design(mapped) == 0
    names = {1: "maize", 2: "meadow", 3: "water"}
    labels(lambda drawn: ["" if k < 7 else names[int(s)] for k, s in enumerate(drawn.stratum)])
    assert main(["evaluate", str(mapped), "--out", "out", "--sample", "out/validation.gpkg"]) == 0
    assert "7 of 9" in capsys.readouterr().err
    assert json.loads(Path("out/sample.json").read_text())["overall_accuracy"]["value"] == pytest.approx(1)


GROUPED = Legend(
    (
        LandClass(1, "crops", values=(1, 2, 3)),
        LandClass(2, "meadow", values=(6, "prairie")),
        LandClass(255, "trees", parent="woody", values=(7, 9)),
        LandClass(9, "shrub", parent="woody", values=(10,)),
    ),
    (LandClass(100, "woody", values=("bois",)),),
    (ClassSet(("crops", "meadow"), ("open",)),),
)


@pytest.mark.parametrize(
    ("labels", "names", "taken"),
    [
        (["1", "2", "255", "9"], ["crops", "meadow", "trees", "shrub"], "read as codes"),
        ([1, 2.0, "meadow"], ["crops", "meadow", "meadow"], "read as codes or names"),
        (["1", "2", "3", "6", "9"], ["crops", "crops", "crops", "meadow", "trees"], "read as reference values"),
        (["2", "6", "shrub"], ["crops", "meadow", "shrub"], "read as reference values or names"),
        (["1", "255", "6", "shrub", "prairie"], ["crops", "trees", "meadow", "shrub", "meadow"], ""),
        (["1", "100", "bois", "woody", "open"], ["crops", *["woody"] * 3, "crops or meadow"], ""),
    ],
)
def test_the_labels_of_a_sample_have_one_meaning(labels, names, taken):
    """A label is a code first, then a name, then a reference value; one that can be two classes decides for all."""
    meant = meaning_of(labels, GROUPED, "s.gpkg, field 'label'")
    assert [GROUPED.labelled(label).name for label in meant.labels] == names
    assert taken in meant.note
    assert bool(taken) == bool(meant.note)


def test_labels_without_a_common_meaning_are_refused():
    with pytest.raises(
        EvaluationError, match="'2' can mean two classes.*'255' is only a code, '6' is only a ref.*Write the code"
    ):
        meaning_of(["1", "2", "255", "6"], GROUPED, "s.gpkg, field 'label'")


def test_labels_that_are_codes_of_a_class_with_reference_values(mapped, capsys):
    """The code of a class can be the reference value of another one."""
    mapped.write_text(
        mapped.read_text()
        .replace("{ code = 1,", "{ code = 1, values = [1, 2],")
        .replace("{ code = 2,", "{ code = 2, values = [3],")
        .replace("{ code = 3,", "{ code = 3, values = [4],")
    )
    assert design(mapped) == 0
    labels(lambda drawn: drawn.stratum)
    assert main(["evaluate", str(mapped), "--out", "out", "--sample", "out/validation.gpkg"]) == 0
    assert "All labels are read as codes of the legend." in " ".join(capsys.readouterr().err.split())
    assert json.loads(Path("out/sample.json").read_text())["overall_accuracy"]["value"] == pytest.approx(1)


def test_labels_of_a_coarser_class_are_left_out_and_counted(mapped, capsys):
    mapped.write_text(
        mapped.read_text()
        .replace("classes = [", 'classes = [\n  { code = 50, name = "vegetation" },')
        .replace("{ code = 1,", '{ code = 1, parent = "vegetation",')
        .replace("{ code = 2,", '{ code = 2, parent = "vegetation",')
    )
    assert design(mapped) == 0
    labels(lambda drawn: np.where(np.arange(len(drawn)) % 9 == 0, 50, drawn.stratum))
    assert main(["evaluate", str(mapped), "--out", "out", "--sample", "out/validation.gpkg"]) == 0
    said = " ".join(capsys.readouterr().err.split())
    assert "have the label of a coarser class or of a set of classes and are not used: 'vegetation' (10)." in said
    found = json.loads(Path("out/sample.json").read_text())
    assert found["overall_accuracy"]["value"] == pytest.approx(1)
    assert sum(one["area_share"]["value"] for one in found["per_class"].values()) == pytest.approx(1)
    labels(lambda drawn: np.full(len(drawn), 50))
    assert main(["evaluate", str(mapped), "--out", "out", "--sample", "out/validation.gpkg"]) == 1
    assert "'vegetation' (9" in capsys.readouterr().err


def test_a_class_that_the_model_lacks_has_no_area(mapped, capsys):
    """Such as a class that the run dropped because it has too few polygons."""
    mapped.write_text(mapped.read_text().replace("classes = [", 'classes = [\n  { code = 7, name = "vine" },'))
    assert design(mapped) == 0
    labels(lambda drawn: np.where(np.arange(len(drawn)) == 3, 7, drawn.stratum))
    assert main(["evaluate", str(mapped), "--out", "out", "--sample", "out/validation.gpkg"]) == 0
    found = json.loads(Path("out/sample.json").read_text())["per_class"]["vine"]
    assert found["mapped_share"] == 0
    assert 0 < found["area_share"]["value"] < 0.1
    assert found["users_accuracy"]["value"] is None


def test_zones_take_the_labels_that_evaluate_takes(mapped, capsys):
    """A class of the recipe that the map lacks, as the name or as the reference value, and a coarser class."""
    classes = '[\n  { code = 7, name = "vine", parent = "crops", values = [1] },\n  { code = 50, name = "crops" },'
    mapped.write_text(
        mapped.read_text()
        .replace("classes = [", f"classes = {classes}")
        .replace("{ code = 1,", "{ code = 1, values = [9],")
    )
    assert design(mapped) == 0
    labels(lambda drawn: np.where(np.arange(len(drawn)) % 5 == 3, "7", drawn.stratum))
    table = gpd.read_file("out/validation.gpkg")
    table.loc[:3, "label"] = ["50", "crops", "50", ""]
    table.to_file("out/validation.gpkg")
    sample = ("--sample", "out/validation.gpkg")
    assert main(["evaluate", str(mapped), "--out", "out", *sample]) == 0
    evaluated = " ".join(capsys.readouterr().err.split())
    with rasterio.open("out/map/classes.tif") as dataset:
        box, crs = shapely.box(*dataset.bounds), dataset.crs
    gpd.GeoDataFrame(geometry=[box], crs=crs).to_file("zones.gpkg")
    assert main(["zones", "out", "zones.gpkg", "--to", "zones.csv", *sample]) == 0
    said = " ".join(capsys.readouterr().err.split())
    for note in ("1 of 9", "All labels are read as codes", "are not used: 'crops' (3)"):
        assert note in evaluated
        assert note in said
    assert f"classes that the map lacks: 'vine' ({sum(table['label'] == '7')})" in said
    rows = pd.read_csv("zones.csv").set_index("class")
    found = json.loads(Path("out/sample.json").read_text())["per_class"]
    assert set(rows.index) == set(found) - {"crops"}
    for name, row in rows.iterrows():
        assert row.estimated_ha / rows.mapped_ha.sum() == pytest.approx(found[name]["area_share"]["value"], abs=1e-3)
    assert rows.mapped_ha["vine"] == 0
    assert rows.estimated_ha["vine"] > 0
    samples = ("--before-sample", "out/validation.gpkg", "--after-sample", "out/validation.gpkg")
    assert main(["change", "out", "out", "--out", "change", *samples]) == 0
    said = " ".join(capsys.readouterr().err.split())
    assert "changes cannot be corrected by the confusions of a class that is never mapped" in said
    mapped.unlink()
    assert main(["zones", "out", "zones.gpkg", "--to", "zones.csv", *sample]) == 1
    assert "labels that are no code, name or reference value of the legend: '7'" in capsys.readouterr().err


@pytest.mark.slow
def test_another_version_of_the_map_keeps_its_strata(mapped, recipe, capsys):
    """Stehman 2014: strata of the map of then, classes of the map of now."""
    assert design(mapped) == 0
    drawn = labels(lambda drawn: drawn.stratum)
    other = recipe(GRU, more="[evaluation]\nimportance = 0")
    assert main(["run", str(other), "--out", "out", "--overwrite"]) == 0
    capsys.readouterr()
    assert main(["evaluate", str(other), "--out", "out", "--sample", "out/validation.gpkg"]) == 0
    assert "another version of the map" in capsys.readouterr().err
    with rasterio.open("out/map/classes.tif") as dataset:
        now = dataset.read(1)[drawn.row, drawn.column]
    size, right = sum(drawn.sizes.values()), now == drawn.stratum
    expected = sum(n / size * right[drawn.stratum == code].mean() for code, n in drawn.sizes.items())
    said = json.loads(Path("out/sample.json").read_text())
    assert said["overall_accuracy"]["value"] == pytest.approx(expected)


def test_samples_off_the_map_are_counted(mapped, capsys):
    assert design(mapped) == 0
    labels(lambda drawn: drawn.stratum)
    file = Path("out/validation.design.json")
    said = json.loads(file.read_text())
    said["row"][:4] = [-3, 5000, -1, 9999]
    file.write_text(json.dumps(said))
    assert main(["evaluate", str(mapped), "--out", "out", "--sample", "out/validation.gpkg"]) == 0
    assert "4 of 90 sampled pixels are outside the map" in capsys.readouterr().err
    said["row"] = [row + 10_000 for row in said["row"]]
    file.write_text(json.dumps(said))
    assert main(["evaluate", str(mapped), "--out", "out", "--sample", "out/validation.gpkg"]) == 1
    assert "none of its labelled pixels is on the map" in capsys.readouterr().err


def test_nodata_under_a_sample_is_counted(mapped, capsys):
    assert design(mapped) == 0
    drawn = labels(lambda drawn: drawn.stratum)
    with rasterio.open("out/map/classes.tif") as dataset:
        codes, profile = dataset.read(1), dataset.profile
    codes[drawn.row[:3], drawn.column[:3]] = 0
    with rasterio.open("out/map/classes.tif", "w", **{**profile, "driver": "GTiff"}) as dataset:
        dataset.write(codes, 1)
    assert main(["evaluate", str(mapped), "--out", "out", "--sample", "out/validation.gpkg"]) == 0
    told = capsys.readouterr().err
    assert "3 of 90 sampled pixels are where the map has no data" in told
    assert "another version of the map" in told
    said = json.loads(Path("out/sample.json").read_text())["per_class"]
    shares = [(codes == code).sum() / (codes > 0).sum() for code in (1, 2, 3)]
    assert [one["mapped_share"] for one in said.values()] == pytest.approx(shares), "of the map as it is now"


def with_holes(holes):
    """Take the data from a part of the map; return the classes that remain, 0 for none."""
    with rasterio.open("out/map/classes.tif") as dataset:
        codes, profile = dataset.read(1), dataset.profile
    now = np.where(holes(codes), 0, codes).astype(codes.dtype)
    with rasterio.open("out/map/classes.tif", "w", **{**profile, "driver": "GTiff"}) as dataset:
        dataset.write(now, 1)
    areas = Path("out/map/areas.csv")
    rows = [row.split(",") for row in areas.read_text().splitlines()]
    for row in rows[1:]:
        count = int((now == int(row[0])).sum())
        row[2:4] = [str(count), str(float(row[3]) * count / max(1, int(row[2])))]
    areas.write_text("\n".join(map(",".join, rows)) + "\n")
    return now


def top(codes):
    return np.arange(len(codes))[:, None] < 0.4 * len(codes)


@pytest.mark.parametrize("labelled_outside", [True, False])
def test_a_sample_of_a_map_without_holes_estimates_the_map_with_holes(mapped, capsys, labelled_outside):
    assert design(mapped) == 0
    now = with_holes(top)
    drawn = labels(
        lambda drawn: np.where(labelled_outside | (now[drawn.row, drawn.column] > 0), drawn.stratum.astype(object), "")
    )
    assert main(["evaluate", str(mapped), "--out", "out", "--sample", "out/validation.gpkg"]) == 0
    told = capsys.readouterr().err
    assert (
        f"{int((now[drawn.row, drawn.column] == 0).sum())} of 90 sampled pixels are where the map has no data" in told
    )
    said = json.loads(Path("out/sample.json").read_text())
    inside = {code: (now[drawn.row, drawn.column] > 0)[drawn.stratum == code].mean() for code in drawn.sizes}
    size = sum(n * inside[code] for code, n in drawn.sizes.items())
    for code, entry in zip(read_recipe(mapped).legend.codes, said["per_class"].values(), strict=True):
        area, true = entry["area_share"], (now[now > 0] == code).mean()
        assert area["value"] == pytest.approx(drawn.sizes.get(code, 0) * inside.get(code, 0) / size)
        assert area["low"] <= true <= area["high"]
        assert area["low"] < area["high"] or not drawn.sizes.get(code)
    assert said["overall_accuracy"]["value"] == pytest.approx(1)
    with rasterio.open("out/map/classes.tif") as dataset:
        gpd.GeoDataFrame(geometry=[shapely.box(*dataset.bounds)], crs=dataset.crs).to_file("zones.gpkg")
    assert main(["zones", "out", "zones.gpkg", "--to", "zones.csv", "--sample", "out/validation.gpkg"]) == 0
    rows = pd.read_csv("zones.csv").set_index("class")
    codes = {one.name: one.code for one in read_recipe(mapped).legend.classes}
    for name, row in rows.iterrows():
        true = (now[now > 0] == codes[name]).mean()
        assert row.estimated_ha / rows.mapped_ha.sum() == pytest.approx(true, abs=1e-3), (
            "no label is an error of the map"
        )


def test_a_sample_of_a_part_of_the_map_is_refused(mapped, capsys):
    """The map of then was smaller: most of the present one was never sampled."""
    assert design(mapped) == 0
    labels(lambda drawn: drawn.stratum)
    file = Path("out/validation.design.json")
    said = json.loads(file.read_text())
    sizes = said["sizes"]
    for share, status, message in (
        (0.97, 0, "at least 3.0% of the map is not in"),
        (0.6, 1, "at least 40% of the map"),
    ):
        file.write_text(json.dumps(said | {"sizes": {code: round(n * share) for code, n in sizes.items()}}))
        assert main(["evaluate", str(mapped), "--out", "out", "--sample", "out/validation.gpkg"]) == status
        assert message in capsys.readouterr().err.replace("\n", " ")
    file.write_text(json.dumps(said | {"sizes": dict(list(sizes.items())[1:])}))
    assert main(["evaluate", str(mapped), "--out", "out", "--sample", "out/validation.gpkg"]) == 1
    assert "no size of the stratum" in capsys.readouterr().err


def spoilt(change):
    table = gpd.read_file("out/validation.gpkg")
    change(table).to_file("out/validation.gpkg")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda t: t, "no pixel has a label"),
        (lambda t: t.assign(label="99"), "labels that are no code, name or reference value of the legend: '99'"),
        (lambda t: t.rename(columns={"label": "klass"}), "has no field 'label'"),
        (lambda t: t.assign(sample=1, label="1"), "duplicated or not in the design"),
        (lambda t: t.assign(sample=t["sample"] + 1000, label="1"), "not in the design"),
        (lambda t: t.head(1).assign(label="1"), "two labelled pixels for a standard error; too few: maize (code 1)"),
    ],
)
def test_a_sample_that_came_back_spoilt_is_refused(mapped, capsys, change, told):
    assert design(mapped) == 0
    spoilt(change)
    capsys.readouterr()
    assert main(["evaluate", str(mapped), "--out", "out", "--sample", "out/validation.gpkg"]) == 1
    assert told in capsys.readouterr().err
    assert not Path("out/sample.json").exists()


def test_a_sample_that_cannot_be_written_is_refused_before_the_draw(mapped, monkeypatch, capsys):
    monkeypatch.setattr("bocage.jobs.sample_design.open_scene", lambda *_: pytest.fail("opened"))
    Path("out/validation.design.json").write_text("{}")
    assert design(mapped) == 1
    assert "validation.design.json exists" in capsys.readouterr().err
    assert design(mapped, "--to", "a.shp") == 1
    assert "unknown format" in capsys.readouterr().err


def test_what_the_sample_needs_is_told(mapped, recipe, capsys):
    assert design(mapped) == 0
    assert design(mapped) == 1
    assert "may hold labels" in capsys.readouterr().err
    before = Path("out/validation.design.json").read_bytes()
    assert design(mapped, "--seed", "1", "--to", "out/validation.geojson") == 1
    assert "validation.design.json exists: it joins the labels of another sample" in capsys.readouterr().err
    assert Path("out/validation.design.json").read_bytes() == before
    assert not Path("out/validation.geojson").exists()
    for more, message in (
        (("--to", "out/a.shp"), "unknown format"),
        (("--error", "0"), "above 0 and below 0.5"),
        (("--least", "1"), "at least 2"),
        (("--expect", "maise=0.9", "--to", "out/b.gpkg"), "no class 'maise'"),
    ):
        assert design(mapped, *more) == 1, more
        assert message in capsys.readouterr().err
    assert design(mapped, "--expect", "maize=2") == 2
    Path("out/validation.design.json").unlink()
    assert main(["evaluate", str(mapped), "--out", "out", "--sample", "out/validation.gpkg"]) == 1
    assert "validation.design.json is missing" in capsys.readouterr().err
    Path("out/validation.design.json").write_text("{")
    assert main(["evaluate", str(mapped), "--out", "out", "--sample", "out/validation.gpkg"]) == 1
    assert "is damaged" in capsys.readouterr().err
    assert main(["sample-design", str(mapped), "--out", "nowhere"]) == 1
    assert "has no map" in capsys.readouterr().err


def test_a_sample_of_a_map_in_another_crs_is_read_at_its_places(mapped):
    """The coordinates were taken for those of the map, so that one of the neighbouring UTM zone had classes of this map."""
    recipe, out = read_recipe(mapped), Path("out")
    land = map_of(recipe, open_scene(recipe, out=out).grid, out)
    grid, size = land.grid, 400
    row, column = (np.random.default_rng(axis).integers(0, n, size) for axis, n in enumerate(grid.shape))
    own = Drawn(row, column, np.zeros(size, int), {}, "", grid.crs.to_wkt(), tuple(grid.transform)[:6])
    known = mapped_at(own, land)
    zone = int(str(grid.crs.to_epsg())[-2:])
    beside = f"EPSG:{grid.crs.to_epsg() + (1 if zone < 60 else -1)}"
    assert (mapped_at(replace(own, crs=beside), land) == OUTSIDE).all()

    west, south, east, north = Transformer.from_crs(grid.crs.proj, 4326, always_xy=True).transform_bounds(*grid.bounds)
    step = (north - south) / 500  # a map in degrees of the same place
    x, y = Transformer.from_crs(grid.crs.proj, 4326, always_xy=True).transform(
        grid.transform.c + (column + 0.5) * grid.transform.a, grid.transform.f + (row + 0.5) * grid.transform.e
    )
    moved = replace(
        own, row=np.floor((north - y) / step).astype(int), column=np.floor((x - west) / step).astype(int),
        crs="EPSG:4326", transform=(step, 0.0, west, 0.0, -step, north),
    )  # fmt: skip
    found = mapped_at(moved, land)
    assert (found == known).mean() > 0.85  # the pixels in degrees have other centres
