import pytest

from bocage.errors import RecipeError
from bocage.grid import Ratio
from bocage.recipe import read_recipe
from conftest import GRU, MULTIRESOLCC, PAN_MS, S2


def problems(path):
    with pytest.raises(RecipeError) as caught:
        read_recipe(path)
    return [str(problem) for problem in caught.value.problems]


def test_a_recipe_becomes_the_rooms_own_settings(recipe, landscape):
    parsed = read_recipe(recipe(GRU))
    assert parsed.name == "tiny"
    assert parsed.choice.config.units == 8
    assert parsed.sources["s2"].settings.variables["red"] == landscape / "s2/red.tif"
    assert parsed.sources["s2"].preparation.fill.every == 20
    assert parsed.legend.codes == (1, 2, 3)
    assert parsed.split.draws == 2
    assert parsed.reference.path == landscape / "reference.gpkg"


def test_every_problem_is_told_at_once(recipe):
    path = recipe(
        GRU + "\nunit = 9",
        S2.replace("clear", "claer").replace("every = 20", "every = 0"),
        more="[evaluaton]\nx = 1",
        **{"train = 0.5": "train = 1.5\nseeed = 3", "like =": "lik ="},
    )
    said = "\n".join(problems(path))
    for text in (
        "evaluaton: unknown key. Did you mean 'evaluation'?",
        "grid.lik: unknown key. Did you mean 'like'?",
        "model.unit: unknown key. Did you mean 'units'?",
        "sources.s2.claer: unknown key. Did you mean 'clear'",
        "sources.s2.fill: 'every' must be at least 1",
        "split.seeed: unknown key. Did you mean 'seed'?",
        "split: 'train' must be above 0 and at most 1; found 1.5",
    ):
        assert text in said, text


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('name = "random_forest"', 'name = "randomforest"', "model.name: Unknown model 'randomforest'. Did you mean 'random_forest'?"),
        ('sensor = "series"', 'sensor = "serie"', "sources.s2.sensor: Unknown sensor 'serie'. Did you mean 'series' or 'tessera'?"),
        ('like = "s2"', 'like = "s3"', "grid.like: no source is called 's3'. Did you mean 's2'?"),
        ("draws = 2", 'draws = "two"', "split.draws: Input should be a valid integer"),
        ("draws = 2", "draws = true", "split.draws: write the value in place of true"),
        ("code = 2", "code = 1", "legend: The legend gives the code 1 to more than one class"),
        ("code = 2", "code = 0", "legend.classes.1: a class code must be between 1 and 65535"),
        ('label = "code"', "", "reference.label: Field required"),
        ('sensor = "series"', 'sensor = "series"\nperiod = "2020"', "sources.s2.period: a list in brackets is expected"),
        ('sensor = "series"', 'sensor = "series"\nperiod = [2021-01-01T10:00:00, 2021-12-31]', "s2.period.0: a day is expected, without"),
        ("[map]", "[map]\ndraw = 2", "map.draw: draws are numbered 0 to 1"),
        ("[map]", '[map]\nformats = ["cgo"]', "map.formats: Unknown writer 'cgo'. Did you mean 'cog'?"),
        ('indices = ["ndvi"]', 'indices = ["ndiv"]', "sources.s2.indices: Unknown index 'ndiv'. Did you mean 'ndwi' or 'ndvi'"),
        ("[map]", '[evaluation]\nmetrics = ["kapa"]\n[map]', "evaluation.metrics: Unknown metric 'kapa'. Did you mean 'kappa'?"),
        ("[split]", "[[split]]", "split: a table [split] is expected"),
        ('"reference.gpkg"', '"${BOCAGE_NOWHERE}/r.gpkg"', "reference.path: the environment variable BOCAGE_NOWHERE is not set"),
        ("[legend]", "[legend]\ncsv = \"l.csv\"", "legend: give either 'csv' or 'classes'"),
        ("[legend]", "[legend", "not a TOML file"),
    ],
)  # fmt: skip
def test_each_problem_says_where_and_what(recipe, old, new, said):
    assert said in "\n".join(problems(recipe(**{old: new})))


def test_variables_of_the_environment(recipe, landscape, monkeypatch):
    monkeypatch.setenv("BOCAGE_HERE", str(landscape))
    parsed = read_recipe(recipe(**{'"reference.gpkg"': '"${BOCAGE_HERE}/reference.gpkg"'}))
    assert parsed.reference.path == landscape / "reference.gpkg"


def test_legend_from_a_csv(recipe, landscape):
    (landscape / "l.csv").write_text("code,name,color,parent,values\n7,crops,#102030,veg,1 2\n9,water,,,3\n")
    path = recipe()
    text = path.read_text()
    start, end = text.index("classes = ["), text.index("]\n", text.index("classes = [")) + 2
    path.write_text(text[:start] + 'csv = "l.csv"\n' + text[end:])
    legend = read_recipe(path).legend
    assert legend.codes == (7, 9)
    assert legend.index_of(2) == 0
    (landscape / "l.csv").write_text("code,nom\n1,x\n")
    assert "no column name" in problems(path)[0]
    (landscape / "l.csv").write_text("code,name\nx,y\n")
    assert "line 2" in problems(path)[0]
    (landscape / "l.csv").unlink()
    assert "does not exist" in problems(path)[0]


def test_a_missing_recipe_and_missing_sections(tmp_path):
    assert "does not exist" in problems(tmp_path / "none.toml")[0]
    (tmp_path / "empty.toml").write_text("")
    said = "\n".join(problems(tmp_path / "empty.toml"))
    for text in (
        "grid: the section",
        "legend: the section",
        "reference: the section",
        "sources: at least one",
        "model.name: the model is missing",
    ):
        assert text in said


def test_grid_by_bounds_ratio_and_a_database(recipe):
    bounds = 'crs = "EPSG:32740"\nresolution = 20\nbounds = [338000, 7667500, 338500, 7668000]'
    path = recipe(
        MULTIRESOLCC,
        PAN_MS.replace('path = "ms.tif"', 'path = "ms.tif"\nratio = { coarser = 2 }'),
        "pan",
        **{'like = "pan"': bounds},
    )
    text = path.read_text().replace('"reference.gpkg"', '"postgresql://me@host/base"')
    path.write_text(text)
    parsed = read_recipe(path)
    assert parsed.grid.grid({}).shape == (25, 25)
    assert parsed.sources["ms"].preparation.ratio == Ratio(coarser=2)
    assert parsed.reference.path == "postgresql://me@host/base"
