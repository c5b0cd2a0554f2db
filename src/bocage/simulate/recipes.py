"""Recipes for a simulated landscape, written to its folder."""

from pathlib import Path

from bocage.simulate.formats import FORMATS
from bocage.simulate.signatures import BANDS
from bocage.simulate.simulation import Simulation

PLAIN = {
    "s2": """[sources.s2]                  # Sentinel-2-like: a file per band, a band per date
sensor = "series"
quality = "s2/quality.tif"
clear = [4]                    # values of the quality layer that are clear
scale = 0.0001
variables = {{ {variables} }}
""",
    "s1": """[sources.s1]                  # Sentinel-1-like, dB
sensor = "series"
variables = {{ vv = "s1/vv.tif", vh = "s1/vh.tif" }}
""",
    "vhr": """[sources.pan]
sensor = "image"
path = "vhr/pan.tif"
bands = ["pan"]
scale = 0.0001

[sources.ms]
sensor = "image"
path = "vhr/ms.tif"
bands = ["blue", "green", "red", "nir"]
scale = 0.0001
""",
}
INDICES = 'indices = ["ndvi", "ndwi"]\n'
SEASON = (
    INDICES
    + """fill = {{ every = 10, start = {year}-01-01, end = {year}-12-31 }}
"""
)
COMMON = """name = "{name}"

[grid]
like = "{like}"

{sources}
[legend]
csv = "legend.csv"

[reference]
path = "reference.gpkg"
label = "code"

[split]
draws = {draws}

[model]
{model}

[training]
{training}

[evaluation]
truth = "truth.tif"            # a simulated landscape has a reference map
"""
OBJECTS = """[segment]                      # objects of the multispectral image
sources = ["ms"]

[sources.objects]              # features of the objects, written first
sensor = "objects"
"""
REGIONS = """
[sources.regions]
sensor = "regions"
path = "regions.gpkg"
field = "region"
blend = 100                    # metres on both sides of a border
"""
PER_REGION = """name = "regional"              # a random forest in each region
source = "regions"
member = { name = "random_forest" }"""
SMALL = {
    "m3fusion": (
        'name = "m3fusion"', 'series = "s2"', 'vhr = "sharp"', "units = 64", "patch = 15", "filters = [16, 32]",
    ),
    "twinns": ('name = "twinns"', "units = 12", "filters = [24, 48]"),
}  # fmt: skip
"""Two published networks, reduced to a size for two CPU cores."""
CONTENDERS = (
    ("M3Fusion, no VHR", "m3fusion", 'use = "series"'),
    ("M3Fusion, no series", "m3fusion", 'use = "vhr"'),
    ("M3Fusion, no auxiliary heads", "m3fusion", "auxiliary = 0.0"),
    ("M3Fusion, no attention", "m3fusion", "attention = false"),
    ("TWINNS", "twinns", ""),
    ("TWINNS, S1 only", "twinns", 'use = "first"'),
    ("TWINNS, S2 only", "twinns", 'use = "second"'),
    ("TWINNS, ConvGRU only", "twinns", 'branches = "convgru"'),
    ("TWINNS, CNN only", "twinns", 'branches = "cnn"'),
    ("TWINNS, no auxiliary heads", "twinns", "auxiliary = 0.0"),
    ("TWINNS, no attention", "twinns", "attention = false"),
    ("random forest, pixels", "", 'name = "random_forest", sources = ["s1", "s2", "sharp"]'),
    (
        "random forest, patches",
        "",
        'name = "random_forest", sources = ["s1", "s2", "sharp"], patches = { sharp = 11, s2 = 3 }',
    ),
)
"""Label, network of ``SMALL`` and changed settings of each model of ``bocage compare``: competitors and ablations."""
SHORT = "steps = [0, 350]               # a short training, for a first look"


def write_recipes(simulation: Simulation, folder: Path) -> list[Path]:
    """Write a recipe for each model that the simulated sensors support, and return the paths."""
    has = set(simulation.sensors)
    sections = {sensor: _section(simulation, sensor) for sensor in has}
    s2 = sections.get("s2", "") + SEASON.format(year=simulation.year)
    texts = {}
    if "s2" in has:
        native = "\n".join([sections["s2"] + INDICES, *(sections[name] for name in ("s1", "vhr") if name in has)])
        patchwork = 'name = "patchwork"            # uses all sources, on their own grids and dates'
        training = "epochs = 60\npatience = 10\nlearning_rate = 0.002"
        texts["gru"] = _recipe("gru", "s2", s2, 3, 'name = "gru"\nunits = 64', training)
        texts["patchwork"] = _recipe("patchwork", "s2", native, 3, patchwork)
        texts["demo"] = _recipe("demo", "s2", native, 1, patchwork, SHORT)
    if {"s2", "s1"} <= has:
        sources = s2 + "\n" + sections["s1"]
        texts["random_forest"] = _recipe("random_forest", "s2", sources, 10, 'name = "random_forest"')
    if "s2" in has and simulation.delay:
        texts["regional"] = _recipe("regional", "s2", s2 + REGIONS, 3, PER_REGION)
    if "vhr" in has:
        training = "epochs = 20\nsamples_per_epoch = 4000"
        texts["multiresolcc"] = _recipe("multiresolcc", "pan", sections["vhr"], 1, 'name = "multiresolcc"', training)
        texts["moringa"] = _moringa(sections)
    if {"s2", "s1", "vhr"} <= has:
        texts["compare"] = _comparison(s2, sections, simulation.year)
    paths = []
    for name, text in texts.items():
        paths.append(folder / f"{name}.toml")
        paths[-1].write_text(text, encoding="utf-8")
    return paths


def _recipe(name: str, like: str, sources: str, draws: int, model: str, training: str = "") -> str:
    """Return a recipe: `like` names the source with the grid of the map; `sources` and the parameters after it are TOML."""
    return COMMON.format(name=name, like=like, sources=sources, draws=draws, model=model, training=training)


def _moringa(sections: dict[str, str]) -> str:
    """Return the recipe of the classification of objects: a segmentation of MS, the features of all sources, a random forest."""
    series = "\n".join(
        [sections[name] + (INDICES if name == "s2" else "") for name in ("s2", "s1") if name in sections]
    )
    sources = f"{series}\n{sections['vhr']}\n{OBJECTS}"
    model = 'name = "random_forest"\nsources = ["objects"]         # the features of the object at each pixel'
    return _recipe("moringa", "ms", sources, 3, model)


def _comparison(s2: str, sections: dict[str, str], year: int) -> str:
    """Return the recipe of ``bocage compare``: M3Fusion, TWINNS, their ablations, and random forests."""
    dates = f"fill = {{ every = 15, start = {year}-01-01, end = {year}-12-31 }}\n"
    series = s2[: s2.index("fill =")] + dates + "\n" + sections["s1"] + dates
    sources = (
        series
        + "\n"
        + sections["vhr"]
        + '\n[sources.sharp]                # PAN and MS combined\nsensor = "pansharpened"\n'
    )
    training = (
        'epochs = 8\nsamples_per_epoch = 600\nvalidation_samples = 512\nlearning_rate = 0.001\nschedule = "cosine"'
    )
    model = "\n".join(SMALL["m3fusion"])
    text = _recipe("compare", "s2", sources, 10, model, training)
    for label, network, settings in CONTENDERS:
        keys = ", ".join([*SMALL.get(network, ()), *filter(None, [settings])])
        text += f'\n[[compare]]\nlabel = "{label}"\nmodel = {{ {keys} }}\n'
    return text


def _section(simulation: Simulation, sensor: str) -> str:
    """Return the recipe section of the sources of one sensor, in its product format."""
    if sensor in simulation.deliveries:
        return FORMATS[simulation.deliveries[sensor]].section()
    return PLAIN[sensor].format(variables=", ".join(f'{b} = "s2/{b}.tif"' for b in BANDS))
