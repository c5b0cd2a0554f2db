"""Recipes that use a simulated landscape, written beside it."""

from pathlib import Path

from bocage.simulate import FORMATS, Simulation

PLAIN = {
    "s2": """[sources.s2]                  # Sentinel-2-like: a file per band, a band per date
sensor = "series"
quality = "s2/quality.tif"
clear = [4]                    # values of the quality layer that mean "clear"
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
SEASON = """indices = ["ndvi", "ndwi"]
fill = {{ every = 10, start = {year}-01-01, end = {year}-12-31 }}
"""
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
truth = "truth.tif"            # simulated landscapes know the truth everywhere
"""
BANDS = ("blue", "green", "red", "rededge1", "rededge2", "rededge3", "nir", "nir08", "swir16", "swir22")


def write_recipes(simulation: Simulation, folder: Path) -> list[Path]:
    """Write a recipe per model that the simulated sensors allow, and return their paths."""
    has = set(simulation.sensors)
    sections = {sensor: _section(simulation, sensor) for sensor in has}
    s2 = sections.get("s2", "") + SEASON.format(year=simulation.year)
    texts = {}
    if "s2" in has:
        gru = 'name = "gru"\nunits = 64'
        training = "epochs = 60\npatience = 10\nlearning_rate = 0.002"
        texts["gru"] = COMMON.format(name="gru", like="s2", sources=s2, draws=3, model=gru, training=training)
    if {"s2", "s1"} <= has:
        forest = 'name = "random_forest"'
        texts["random_forest"] = COMMON.format(
            name="random_forest", like="s2", sources=s2 + "\n" + sections["s1"], draws=10, model=forest, training=""
        )
    if "vhr" in has:
        net = 'name = "multiresolcc"'
        training = "epochs = 20\nsamples_per_epoch = 4000"
        texts["multiresolcc"] = COMMON.format(
            name="multiresolcc", like="pan", sources=sections["vhr"], draws=1, model=net, training=training
        )
    paths = []
    for name, text in texts.items():
        paths.append(folder / f"{name}.toml")
        paths[-1].write_text(text, encoding="utf-8")
    return paths


def _section(simulation: Simulation, sensor: str) -> str:
    """The recipe's sources for one sensor, in the format in which it is delivered."""
    if sensor in simulation.deliveries:
        return FORMATS[simulation.deliveries[sensor]].section()
    return PLAIN[sensor].format(variables=", ".join(f'{b} = "s2/{b}.tif"' for b in BANDS))
