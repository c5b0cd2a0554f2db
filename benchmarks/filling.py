"""Filling of clouded Sentinel-2 dates: linear interpolation, Whittaker smoothing, or a generator that reads radar and neighbours.

    BOCAGE_DATA=/path/to/data python -m benchmarks.filling [choose] [simulated] [cloudier] [flanders] [canada] [pictures]

The generator (:mod:`benchmarks.generator`) is trained on the pixels of one scene without labels. Two questions:

- Error: clouds of other dates hide clear values, about 15 %. Neither the training nor the filling sees them. The error of each way
  is that of these values, by length of the gap: days between the clear dates before and after.
- Accuracy: classifiers trained on the series filled by each way, and on the series with their masks ("no filling"). Here all clear
  values are visible; the generator is the same.

Each draw of `simulated` has a landscape of its own; `cloudier` has the same landscapes with 70 % of the clear values hidden by
further clouds. Their values under the clouds are known, from a simulation without clouds. Draws of `flanders` and `canada` are draws
of hidden values, of the weights of the generator, and of the training polygons. `choose` compares settings of the generator on scenes that do not report: another landscape,
and the other tile of Flanders. The penalty of the Whittaker smoother is chosen for each draw on values that are hidden in addition.
"""

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy import classes_of, samples_of
from benchmarks.filling_places import (
    ACCURACY_RATIO,
    BUFFER,
    CANDIDATES,
    CHOICE,
    CHOSEN,
    DRAWS,
    ERROR_RATIO,
    FILLED,
    GAP_NAMES,
    GAPS,
    MEASURES,
    MODELS,
    MODELS_OF,
    PICTURE_DATES,
    PICTURES,
    REGULAR,
    RESULTS,
    SETS,
    UNBUFFERED,
    WAYS,
    WORK,
    Filled,
    Filling,
    Place,
    squares,
)
from benchmarks.frame import command_line, slug, spread, table
from benchmarks.generator import Generator, Series, Settings
from bocage.evaluation import METRICS, ConfusionMatrix
from bocage.evaluation.paired import resampled_t
from bocage.run import open_scene
from bocage.samples import Samples
from bocage.scene import Cube
from bocage.scene.cube import Block
from bocage.scene.gaps import interpolate
from bocage.training import Trainer


def error_of(place: Place) -> dict[str, Any]:
    """Train the generator, store all filled series of a draw, and return the errors of hidden values by length of gap."""
    generator = place.trained(*CANDIDATES[CHOSEN])
    found: dict[str, Any] = {way: error_of_way(place, way, generator) for way in FILLED[:4]}
    found["generated, buffer"]["train_seconds"] = generator.seconds
    found["whittaker, buffer"]["penalty"] = place.penalty
    found["scene"] = {
        "pixels": int(np.prod(place.clear.valid.shape[1:])), "dates": len(place.clear.days),
        "clear": float(place.every.valid.mean()), "hidden": int(place.hidden.sum()),
    }  # fmt: skip
    return found


def error_without_buffer(place: Place) -> dict[str, Any]:
    """Return the errors of a generator that is trained and used without a buffer."""
    generator = place.trained(*CANDIDATES[UNBUFFERED])
    return error_of_way(place, "generated", generator) | {"train_seconds": generator.seconds}


def error_of_way(place: Place, way: str, generator: Generator) -> dict[str, Any]:
    """Fill the series of a draw in one way, store it, and return the errors and the CPU seconds of the filling."""
    seen, whole = place.seen, place.clear
    _ = place.penalty  # chosen before the time is taken

    def fill(series: Series, to: NDArray[np.int32]) -> NDArray[np.float32]:
        masked = series.buffered(BUFFER if "buffer" in way else 0)
        if way.startswith("whittaker"):
            return place.smooth(masked, place.penalty, to)
        if way.startswith("linear"):
            return interpolate(masked.values, masked.valid, masked.days, to)[0]
        made = generator.fill(masked)
        return interpolate(made, np.ones_like(masked.valid), masked.days, to)[0]

    filled = fill(seen, seen.days)
    found = errors(place, filled, seen, place.clear.values, place.hidden)
    started = time.process_time()
    stored = fill(whole, REGULAR[place.data].days)
    found["fill_seconds"] = time.process_time() - started
    np.save(store(place, way), stored)
    if place.simulated:  # its values under the clouds are known
        found["clouds"] = errors(place, fill(whole, whole.days), whole, place.bare, ~whole.valid & place.ever)
    if place.draw == 0:
        np.save(store(place, f"{way}-hidden"), filled)
    return found


def store(place: Place, way: str) -> Any:
    """Return the file of a filled series."""
    WORK.mkdir(parents=True, exist_ok=True)
    return WORK / f"{slug(f'{place.data}-{place.draw}-{way}')}.npy"


def errors(
    place: Place, filled: NDArray[np.float32], seen: Series, true: NDArray[np.float32], where: NDArray[np.bool_]
) -> dict[str, Any]:
    """Return the errors of the values at `where`, of all and by length of the gap in `seen`: reflectance and NDVI."""
    of_bands = squares(filled, true, where)
    of_ndvi = squares(*(place.index("ndvi", one)[:, None] for one in (filled, true)), where)
    gap = seen.apart.sum(0)[where]
    part = np.digitize(gap, GAPS, right=True)
    part[np.isinf(gap)] = len(GAPS) + 1

    def measures(own: Any) -> dict[str, float]:
        bands, ndvi = of_bands[own], of_ndvi[own]
        return {"values": len(bands), "rmse": _root(bands), "ndvi": _root(ndvi), "mae": float(np.sqrt(bands).mean())}

    return measures(slice(None)) | {
        "gaps": {name: measures(part == k) for k, name in enumerate(GAP_NAMES) if (part == k).any()}
    }


def _root(part: NDArray[np.float32]) -> float:
    return float(np.sqrt(part.mean(dtype=np.float64)))


def accuracy_of(place: Place, model: str, way: str) -> dict[str, float]:
    """Train a model on the series filled by a way, and return its scores on the test polygons."""
    names, tables = MODELS[model]
    trees = tables["model"]["name"] in ("random_forest", "lightgbm")
    filled = [*(["s2"] if way in FILLED else []), *(["s1"] if trees else [])]
    recipe = place.recipe(tables, names, filled)
    scene = open_scene(recipe)
    scene = replace(scene, cubes={**scene.cubes, "s2": from_memory(place, scene.cubes["s2"], way)})
    folder = WORK / slug(f"{place.data}-{place.draw}-{model}-{way}")
    shutil.rmtree(folder, ignore_errors=True)
    samples = samples_of(recipe, scene, folder / "samples")
    started = time.process_time()
    model_ = Trainer(recipe.choice, scene, samples).train(0, folder)
    seconds = time.process_time() - started
    test = samples.draw(0).test
    found = scores(samples, test, classes_of(model_, samples, test, recipe))
    shutil.rmtree(folder)
    return found | {"seconds": seconds}


def from_memory(place: Place, cube: Cube, way: str) -> Filled:
    """Return a cube of the series filled by a way, or with its masks, and with its indices."""
    ever = place.ever
    if way.startswith("no filling"):
        every = place.every.buffered(BUFFER if "buffer" in way else 0)
        values, valid = every.values, every.valid & ever
    else:
        values = np.load(store(place, way))
        valid = np.broadcast_to(ever, (len(values), *ever.shape)).copy()
    layers = [values, *(place.index(name, values)[:, None] for name in cube.preparation.indices)]
    block = Block(np.concatenate(layers, 1) * valid[:, None], valid, valid.sum(0, dtype=np.uint16))
    return Filled(**{field.name: getattr(cube, field.name) for field in fields(Cube)}, stored=block)


def scores(samples: Samples, test: NDArray[np.int64], classes: NDArray[Any]) -> dict[str, float]:
    """Return overall accuracy and mean F-measure of the test pixels."""
    matrix = ConfusionMatrix.of(samples.label[test], classes, samples.legend.names)
    return {key: float(METRICS.get(key)(matrix)) for key in ("overall_accuracy", "f1_macro")}


def choose() -> None:
    """Measure the candidates on the scenes that do not report."""
    for data in CHOICE:
        place = Place(data, 100)

        def measured(fill: Filling, buffer: int, place: Place = place) -> dict[str, float]:
            own = squares(fill(place.seen.buffered(buffer)), place.clear.values, place.hidden)
            if not place.simulated:
                return {"rmse": _root(own)}
            clouded = squares(fill(place.clear.buffered(buffer)), place.bare, ~place.clear.valid & place.ever)
            return {"rmse": _root(own), "clouds": _root(clouded)}

        def generated(
            buffer: int, settings: Settings, place: Place = place, measured: Any = measured
        ) -> dict[str, float]:
            generator = place.trained(buffer, settings)
            return measured(generator.fill, buffer) | {"seconds": generator.seconds}

        for buffer in (0, 2, 4) if place.simulated else (0,):
            name = f"linear, buffer of {buffer} pixels" if buffer else "linear"
            RESULTS.measure(
                ("choice", data, name), lambda b=buffer, measured=measured: measured(lambda one: one.linear, b)
            )
        for name, (buffer, settings) in CANDIDATES.items():
            if place.simulated or not buffer:
                RESULTS.measure(
                    ("choice", data, name), lambda b=buffer, s=settings, generated=generated: generated(b, s)
                )


def report(data: str) -> None:
    """Measure the missing results of a set."""
    for draw in range(DRAWS):
        place = Place(data, draw)
        RESULTS.measure(("error", data, draw), lambda place=place: error_of(place))
        if data == "flanders":
            RESULTS.measure(("without buffer", data, draw), lambda place=place: error_without_buffer(place))
        for model in MODELS_OF.get(data, MODELS):
            for way in ways_of(data, model):
                RESULTS.measure(
                    ("accuracy", data, model, way, draw),
                    lambda place=place, model=model, way=way: accuracy_of(place, model, way),
                )


def ways_of(data: str, model: str) -> list[str]:
    """Return the ways that are measured: a table has no buffers; some ways are left out for time."""
    left_out = {
        "no filling, buffer": data == "canada" or model != "patchwork, S2",
        "linear, buffer": data == "canada",
        "whittaker, buffer": model == "patchwork, S1 + S2",
        "generated": data != "flanders" or model == "patchwork, S1 + S2",
    }
    return [way for way in WAYS if not left_out.get(way)]


WORDS = ("choose", *SETS, "pictures")


def run(wanted: Sequence[str] = ()) -> str:
    """Measure the missing results, of all parts or of those named, and return the tables."""
    for line in RESULTS.free(wanted or WORDS):
        if line == "choose":
            choose()
        elif line == "pictures":
            for data in ("simulated", "flanders"):
                picture(Place(data, 0))
        else:
            report(line)
    return "\n" + markdown(RESULTS.content())


def picture(place: Place) -> None:
    """Draw three dates with hidden values: what was visible, the truth, and what each way makes of it."""
    import matplotlib.pyplot as plt
    from PIL import Image

    chosen = np.sort(np.argsort(-place.hidden.sum((1, 2)))[:PICTURE_DATES])
    ways = {way: np.load(store(place, f"{way}-hidden")) for way in FILLED if store(place, f"{way}-hidden").exists()}
    rows = {"visible": (place.seen.values, place.seen.valid), "true": (place.clear.values, place.clear.valid)}
    rows |= {
        way: (np.where(place.seen.valid[:, None], place.seen.values, one), place.clear.valid)
        for way, one in ways.items()
    }
    figure, axes = plt.subplots(len(chosen), len(rows), figsize=(2.4 * len(rows), 2.4 * len(chosen)), squeeze=False)
    for row, t in zip(axes, chosen, strict=True):
        for axis, (name, (values, valid)) in zip(row, rows.items(), strict=True):
            image = np.stack([values[t, place.bands[band]] for band in ("nir", "red", "green")], -1)
            image = np.clip(image / np.array([0.5, 0.25, 0.2]), 0, 1)
            axis.imshow(np.where(valid[t][..., None], image, 0.85))
            axis.set(xticks=[], yticks=[], title=f"{name}, {np.datetime64(int(place.clear.days[t]), 'D')}")
            axis.title.set_fontsize(8)
    figure.tight_layout()
    PICTURES.mkdir(parents=True, exist_ok=True)
    path = PICTURES / f"{place.data}.png"
    figure.savefig(path, dpi=75)
    plt.close(figure)
    Image.open(path).convert("RGB").quantize(64).save(path, optimize=True)  # a quarter of the size


def markdown(found: Mapping[str, Any]) -> str:
    """Return the tables: choice, errors, accuracies, cost."""
    parts = [("Choice of the generator, RMSE of reflectance:", choice_table(found.get("choice", {})))]
    errors_found, accuracies = found.get("error", {}), found.get("accuracy", {})
    for data in errors_found:
        draws = draws_of(found, data)
        if len(draws) < 2:
            continue
        ratio = ERROR_RATIO.get(data, 0.0)
        parts.append((f"`{data}`, error of hidden clear values:", error_table(draws, ratio)))
        if "clouds" in draws[0]["linear"]:
            under = [{way: draw[way]["clouds"] for way in FILLED if way in draw} for draw in draws]
            parts.append((f"`{data}`, error under the clouds of the simulation:", error_table(under, ratio)))
    for data in accuracies:
        for key, label in (("overall_accuracy", "overall accuracy"), ("f1_macro", "mean F-measure")):
            rows = accuracy_table(accuracies[data], key, ACCURACY_RATIO.get(data, 0.0))
            parts.append((f"`{data}`, {label}:", rows))
    parts.append(("CPU seconds:", cost_table(errors_found, accuracies)))
    return "\n\n".join(f"{title}\n\n{text}" for title, text in parts)


def draws_of(found: Mapping[str, Any], data: str) -> list[Mapping[str, Any]]:
    """Return the errors of the draws in which all ways of the set were measured."""
    draws, more = found["error"][data], found.get("without buffer", {}).get(data)
    if more is None:
        return list(draws)
    return [{**draw, "generated": one} for draw, one in zip(draws, more, strict=False)]


def choice_table(found: Mapping[str, Any]) -> str:
    """Return the errors of the candidates, and their training times."""
    rows = []
    for name in found.get(CHOICE[0], {}):
        ones = [found.get(data, {}).get(name, {}) for data in CHOICE]
        keys = zip((ones[0], *ones), ("clouds", "rmse", "rmse"), strict=True)
        seconds = (f"{one['seconds']:.0f}" if one.get("seconds") else "" for one in ones)
        rows.append((name, *(f"{one[key]:.4f}" if key in one else "" for one, key in keys), *seconds))
    heads = (f"{CHOICE[0]}: under the clouds", "hidden", f"{CHOICE[1]}: hidden", "CPU s", "CPU s")
    return table(("", *heads), rows)


def error_table(draws: Sequence[Mapping[str, Any]], ratio: float) -> str:
    """Return the errors of all ways, of all values and by length of gap, and the tests of the generator."""
    rows, ways = [], [way for way in FILLED if way in draws[0]]
    generated = [way for way in FILLED[3:] if way in ways]
    for key, label in MEASURES.items():
        for gap in ("all", *GAP_NAMES) if key != "mae" else ("all",):
            ones = {way: [_error(draw[way], gap, key) for draw in draws] for way in ways}
            if np.isnan(list(ones.values())).any():  # no gap of this length in some draw
                continue
            count = np.mean([_error(draw["linear"], gap, "values") for draw in draws])
            cells = [f"{np.mean(values):.4f} ± {np.std(values, ddof=1):.4f}" for values in ones.values()]
            tests = [_test(ones[way], ones[other], ratio, 4) for way in generated for other in FILLED[:2]]
            rows.append((label, gap, f"{count:,.0f}".replace(",", " "), *cells, *tests))
    heads = (f"{way} − {other}" for way in generated for other in FILLED[:2])
    return table(("", "gap, days", "values", *ways, *heads), rows)


def _error(measured: Mapping[str, Any], gap: str, key: str) -> float:
    one = measured if gap == "all" else measured["gaps"].get(gap, {})
    return float(one.get(key, np.nan))


def _test(first: Sequence[float], second: Sequence[float], ratio: float, digits: int = 3) -> str:
    test = resampled_t(first, second, ratio)
    return f"{test.difference:+.{digits}f} (p {test.p:.3f})"


def accuracy_table(found: Mapping[str, Any], key: str, ratio: float) -> str:
    """Return the scores of all models and ways on the draws that all ways have, and the tests of the generator."""
    rows, ways = [], [way for way in WAYS if any(way in by_way for by_way in found.values())]
    pairs = [
        (way, other) for way in FILLED[3:] if way in ways for other in ("no filling", *FILLED[:2]) if other in ways
    ]
    for model in (model for model in MODELS if model in found):
        count = min(map(len, found[model].values()))
        ones = {way: [draw[key] for draw in draws[:count]] for way, draws in found[model].items()}
        cells = [spread(ones[way]) if way in ones else "" for way in ways]
        tests = [
            _test(ones[way], ones[other], ratio) if count > 1 and way in ones and other in ones else ""
            for way, other in pairs
        ]
        rows.append((model, count, *cells, *tests))
    return table(("", "draws", *ways, *(f"{way} − {other}" for way, other in pairs)), rows)


def cost_table(errors_found: Mapping[str, Any], accuracies: Mapping[str, Any]) -> str:
    """Return CPU seconds of training the generator, of filling a scene by each way, and of training each model."""
    rows = []
    for data, draws in errors_found.items():
        scene = draws[0]["scene"]
        size = f"{scene['pixels']} pixels, {scene['dates']} dates"
        rows.append(
            (
                data,
                f"training of the generator, {size}",
                _seconds([draw[FILLED[3]]["train_seconds"] for draw in draws]),
            )
        )
        for way in FILLED[:4]:
            rows.append((data, f"filling, {way}", _seconds([draw[way]["fill_seconds"] for draw in draws])))
        for model, ways in accuracies.get(data, {}).items():
            rows.append(
                (data, f"training, {model}, linear", _seconds([draw["seconds"] for draw in ways.get("linear", [])]))
            )
    return table(("", "", "CPU s"), rows)


def _seconds(values: Sequence[float]) -> str:
    return f"{np.mean(values):.2g}" if values else ""


if __name__ == "__main__":
    command_line(__name__)
