"""Doubtful polygons: labels of training polygons are swapped, searched, and left out or weighted.

    BOCAGE_DATA=/path/to/data python -m benchmarks doctor
    BOCAGE_DATA=/path/to/data python -m benchmarks.doctor [rondonia] [simulated] [bavaria] [canada] [--draws N]
        [--agreement] [--register POLYGONS [--repeats N]] [--ceiling]

Each draw has 70 % of the polygons for training; the others, with their true labels, are the test part. Labels of 5, 10 or 20 % of
the training polygons are swapped: with any other class at random, or with the class that a forest confuses most with it. The
doubt is that of ``[reference] doubtful`` with default settings. "Confident learning" ranks the same polygons by the held-out
probability of their label, of one forest (the method `self_confidence`). Both are given the number of swapped polygons.

Precision: share of swapped ones among the k most doubtful polygons, where k is the number of swapped ones; it is also the share
found. "Found" is the share found among 2 k polygons. Accuracy is that of a forest on the test part: trained on the swapped labels
("keep"), with ``doubtful = "drop"`` or "weight", and on the true labels ("oracle"). "Won back" is the gain of drop over the loss.
The way to combine models, neighbours and labels was chosen on the set `matogrosso`, which is not reported.

"--ceiling": the precision of a judge that has the true labels of all other polygons, and knows how the labels were swapped. It ranks the
polygons by the probability that their label is a swapped one, from the held-out probabilities of a forest, of boosted trees, of
patchwork, and of the mean of the three. No search that has only the swapped labels can be expected to be better. "Exactly left out" is
the accuracy of a forest that is trained without the swapped polygons, and with all others.
"""

import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas
from numpy.typing import NDArray

from benchmarks.choice_sets import SETS
from benchmarks.frame import BUILD, Results, check_words, parser_of, spread, table
from benchmarks.recipes import write
from bocage.disk import digest
from bocage.evaluation import ConfusionMatrix
from bocage.evaluation.metrics import kappa, overall_accuracy
from bocage.layout import DoctorLayout
from bocage.progress import QUIET
from bocage.recipe import Recipe, parse
from bocage.run import open_scene
from bocage.run.judging import chosen_pixels, judge, of_present_classes
from bocage.run.trusted import DoubtOfDraws
from bocage.samples import Draw, Samples, make_samples
from bocage.samples.make import taken
from bocage.scene import Scene
from bocage.training import Trainer, classify

WORK, RESULTS = BUILD / "doctor", Results("doctor")
REPORTED = ("rondonia", "simulated", "bavaria", "canada")
SHARES, HOWS, DRAWS = (0.1, 0.2, 0.05), ("random", "similar"), 5
TRAIN = 0.7
"""Share of the polygons of each class that train."""
FOREST = {"name": "random_forest", "trees": 100}


@dataclass(frozen=True)
class Opened:
    """A set with its samples."""

    name: str
    recipe: Recipe
    scene: Scene
    samples: Samples

    @classmethod
    def of(cls, name: str, model: Mapping[str, object] = FOREST) -> "Opened":
        """Open a set with random draws; classes with too few polygons are dropped."""
        site, trees = SETS[name](), model["name"] != "patchwork"
        tables = {"model": dict(model), "training": {"calibrate": False}}
        table = site.recipe(tables, trees) | {"split": {"train": TRAIN, "draws": 100, "rare": "drop"}}
        recipe = parse(table, site.folder)
        scene = open_scene(recipe)
        folder = WORK / (f"samples-{name}" if trees else f"samples-{name}-network")
        samples = make_samples(scene, recipe.survey, recipe.choice.build(scene, recipe.legend), folder)
        return cls(name, recipe, scene, samples)


@dataclass(frozen=True)
class Swapped:
    """Training polygons of a draw with swapped labels."""

    samples: Samples
    wrong: NDArray[np.int32]
    """Numbers of the polygons with a swapped label."""


def swapped(opened: Opened, draw: Draw, how: str, share: float, number: int) -> Swapped:
    """Swap the labels of a share of the training polygons of a draw."""
    samples, generator = opened.samples, np.random.default_rng((number, round(1000 * share), HOWS.index(how)))
    members = np.concatenate([draw.train, draw.validation])
    polygons, first = np.unique(samples.polygon[members], return_index=True)
    old, classes = samples.label[members][first], len(samples.legend.classes)
    chosen = generator.choice(len(polygons), max(1, round(share * len(polygons))), replace=False)
    if how == "random":
        new = (old[chosen] + generator.integers(1, classes, len(chosen))) % classes
    else:
        new = most_confused(opened)[old[chosen]]
    by_polygon = dict(zip(polygons[chosen].tolist(), new.tolist(), strict=True))
    label = np.array(
        [by_polygon.get(p, k) for p, k in zip(samples.polygon.tolist(), samples.label.tolist(), strict=True)]
    )
    return Swapped(replace(samples, label=label.astype(samples.label.dtype)), polygons[chosen])


def most_confused(opened: Opened) -> NDArray[np.int64]:
    """Return the class that a forest confuses most with each class, on the true labels; it is kept."""
    path = WORK / f"confused-{opened.name}.npy"
    if not path.exists():
        samples = of_present_classes(opened.samples)
        some = taken(samples, chosen_pixels(samples.pixels(np.arange(len(samples.label))), opened.recipe.doctor)[0])
        judged = judge(
            opened.recipe.choice, opened.scene, some, replace(opened.recipe.doctor, repeats=1), WORK / "c", QUIET
        )
        classes = judged.probabilities.shape[1]
        mass = np.stack([judged.probabilities[judged.label == k].sum(0) for k in range(classes)])
        np.fill_diagonal(mass, -1)
        np.save(path, mass.argmax(1))
        shutil.rmtree(WORK / "c")
    return np.load(path)


def measured(opened: Opened, how: str, share: float, number: int) -> dict[str, float]:
    """Return precision and accuracy for one draw."""
    draw = opened.samples.draw(number)
    data = swapped(opened, draw, how, share, number)
    layout = DoctorLayout(WORK / f"{opened.name}-{how}-{share}-{number}")

    def doubt(use: str) -> DoubtOfDraws:
        of_use = replace(opened.recipe, reference=replace(opened.recipe.reference, doubtful=use))
        return DoubtOfDraws(of_use, data.samples, layout, digest(opened.name, how, share, number))

    # The draw is that of the true labels: a swapped label must not change which polygons are tested.
    samples = Fixed(data.samples, draw)
    drop, weight = (replace(doubt(use), samples=samples.as_samples()) for use in ("drop", "weight"))
    started = time.monotonic()
    drop.write(opened.scene, 0, QUIET)
    seconds = time.monotonic() - started
    found = drop.read(0)
    polygons = np.array(list(found))
    scores = {"doctor": np.array([value for value, _ in found.values()]), "plain": plain(opened, samples, polygons)}
    flagged = polygons[[doubtful for _, doubtful in found.values()]]
    result = {"swapped": len(data.wrong), "seconds": seconds, "doubtful": len(flagged)}
    result["doubtful_right"] = float(np.isin(flagged, data.wrong).mean()) if len(flagged) else float("nan")
    for name, score in scores.items():
        order = polygons[np.argsort(-score, kind="stable")]
        for key, most in (("precision", 1), ("found", 2)):
            hits = np.isin(order[: most * len(data.wrong)], data.wrong).sum()
            result[f"{name} {key}"] = float(hits / len(data.wrong))
    clean = Fixed(opened.samples, draw).as_samples()
    ways = {"keep": samples.as_samples(), "drop": drop.trusted(0), "weight": weight.trusted(0), "oracle": clean}
    result |= {way: accuracy(opened, some) for way, some in ways.items()}
    shutil.rmtree(layout.path)
    return result


@dataclass(frozen=True)
class Fixed:
    """Samples whose only draw is given."""

    samples: Samples
    draw: Draw

    def as_samples(self) -> Samples:
        """Return samples of a field that fixes the test part."""
        test = np.zeros(len(self.samples.label), np.int32) - 1
        test[self.draw.test] = 0
        split = replace(self.samples.split, field="part", train=("train",), test=("test",), draws=1)
        return replace(self.samples, split=split, fold=test, reserved=())


def plain(opened: Opened, fixed: Fixed, polygons: NDArray[np.int32]) -> NDArray[np.float64]:
    """Return 1 − the held-out probability of the label of each polygon, of one forest."""
    draw, samples = fixed.draw, fixed.samples
    members = np.sort(np.concatenate([draw.train, draw.validation]))
    members = members[chosen_pixels(samples.pixels(members), opened.recipe.doctor)[0]]
    some = of_present_classes(taken(fixed.as_samples(), members))
    folder = WORK / f"plain-{opened.name}"
    judged = judge(opened.recipe.choice, opened.scene, some, replace(opened.recipe.doctor, repeats=1), folder, QUIET)
    shutil.rmtree(folder)
    assert (judged.polygon == polygons).all()
    return 1 - judged.probabilities[np.arange(len(polygons)), judged.label]


def accuracy(opened: Opened, samples: Samples) -> float:
    """Return the overall accuracy of a forest on the test part, with the true labels."""
    folder = WORK / f"model-{opened.name}"
    trained = Trainer(opened.recipe.choice, opened.scene, samples).train(0, folder)
    test = samples.draw(0).test
    predicted = classify(trained, samples.chips, test, "cpu").argmax(1)
    shutil.rmtree(folder)
    return float((predicted == opened.samples.label[test]).mean())


JUDGES: Mapping[str, Mapping[str, object]] = {
    "forest": FOREST,
    "LightGBM": {"name": "lightgbm"},
    "patchwork": {"name": "patchwork"},
}
"""Models of the judge that has the true labels."""


def held_out(opened: Opened, number: int) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Return the training polygons (P,) of a draw and their held-out probabilities (P, K), with the true labels."""
    draw, samples = opened.samples.draw(number), opened.samples
    members = np.sort(np.concatenate([draw.train, draw.validation]))
    members = members[chosen_pixels(samples.pixels(members), opened.recipe.doctor)[0]]
    some, folder = of_present_classes(taken(samples, members)), WORK / f"ceiling-{opened.name}"
    judged = judge(opened.recipe.choice, opened.scene, some, opened.recipe.doctor, folder, QUIET)
    shutil.rmtree(folder)
    probabilities = np.zeros((len(judged.polygon), len(samples.legend.classes)))
    present = np.unique(samples.label[members])
    probabilities[:, present] = judged.probabilities
    return judged.polygon, probabilities


def ceiling(models: Mapping[str, Opened], number: int) -> dict[str, dict[str, float]]:
    """Return, by model and by case, the precision of the judge that has the true labels."""
    found = {name: held_out(opened, number) for name, opened in models.items()}
    opened, (polygons, _) = models["forest"], found["forest"]
    assert all((polygons == others).all() for others, _ in found.values())
    probabilities = {name: values for name, (_, values) in found.items()}
    probabilities["mean of the three"] = np.mean(list(probabilities.values()), 0)
    draw, result = opened.samples.draw(number), {name: dict[str, float]() for name in probabilities}
    for how in HOWS:
        for share in SHARES:
            data = swapped(opened, draw, how, share, number)
            label = dict(zip(data.samples.polygon.tolist(), data.samples.label.tolist(), strict=True))
            given = np.array([label[polygon] for polygon in polygons.tolist()])
            for name, values in probabilities.items():
                score = wrong_of(values, given, swaps_of(opened, how), share)
                order = polygons[np.argsort(-score, kind="stable")]
                hits = np.isin(order[: len(data.wrong)], data.wrong).sum()
                result[name][f"{how} {share:.0%}"] = float(hits / len(data.wrong))
    return result


def swaps_of(opened: Opened, how: str) -> NDArray[np.float64]:
    """Return the probabilities (K, K) of the wrong label (column) of each class (row)."""
    classes = len(opened.samples.legend.classes)
    if how == "random":
        return (1 - np.eye(classes)) / (classes - 1)
    return np.eye(classes)[most_confused(opened)]


def wrong_of(
    probabilities: NDArray[np.float64], given: NDArray[np.int64], swaps: NDArray[np.float64], share: float
) -> NDArray[np.float64]:
    """Return the probability (P,) that each label is a swapped one, by Bayes' rule."""
    rows = np.arange(len(given))
    wrong, right = share * (probabilities @ swaps)[rows, given], (1 - share) * probabilities[rows, given]
    return np.asarray(wrong / np.maximum(wrong + right, 1e-12))


def left_out(opened: Opened, number: int) -> dict[str, float]:
    """Return, by case, the accuracy of a forest trained on all training polygons but the swapped ones."""
    draw, result = opened.samples.draw(number), {}
    for how in HOWS:
        for share in SHARES:
            data = swapped(opened, draw, how, share, number)
            trust = np.where(np.isin(data.samples.polygon, data.wrong), 0.0, 1.0)
            some = replace(Fixed(data.samples, draw).as_samples(), trust=trust)
            result[f"{how} {share:.0%}"] = accuracy(opened, some)
    return result


def ceilings(wanted: Sequence[str], draws: int = DRAWS) -> str:
    """Measure the missing results of the judge that has the true labels, and return their table."""
    for name in RESULTS.free(wanted):
        models = {label: Opened.of(name, model) for label, model in JUDGES.items()}
        for number in range(draws):
            RESULTS.measure(("left_out", name, number), lambda m=models, n=number: left_out(m["forest"], n))
            RESULTS.measure(("ceiling", name, number), lambda m=models, n=number: ceiling(m, n))
    found, head = RESULTS.content(), ("set", "swapped", *JUDGES, "mean of the three")
    rows = [
        (name, case, *(spread([one[model][case] for one in results]) for model in head[2:]),
         spread([one[case] for one in found["left_out"][name]]))
        for name, results in found.get("ceiling", {}).items()
        for case in results[0]["forest"]
    ]  # fmt: skip
    return table((*head, "exactly left out"), rows)


WORDS = REPORTED
"""Words of the command line."""


def run(wanted: Sequence[str] = (), draws: int = DRAWS) -> str:
    """Measure the missing results and return the tables."""
    WORK.mkdir(parents=True, exist_ok=True)
    for name in RESULTS.free(wanted or REPORTED):
        opened = Opened.of(name)
        for number in range(draws):
            for share in SHARES:
                for how in HOWS:
                    keys = ("sets", name, f"{how} {share:.0%}", number)
                    RESULTS.measure(keys, lambda o=opened, h=how, s=share, n=number: measured(o, h, s, n))
    return "\n" + markdown(RESULTS.content())


def agreement() -> dict[str, object]:
    """Return the agreement of two groups of interpreters on the same places in Sudan."""
    data = Path(os.environ["BOCAGE_DATA"]) / "sudan"
    first, second = (
        pandas.read_csv(data / f"interpreter_{i}.csv").drop_duplicates("plotid", keep=False) for i in (1, 2)
    )
    both = first.merge(second, on="plotid").dropna(subset=["label_x", "label_y"])
    names = tuple(sorted(set(both.label_x) | set(both.label_y)))
    one, two = (pandas.Categorical(both[key], names).codes for key in ("label_x", "label_y"))
    matrix = ConfusionMatrix.of(np.asarray(one), np.asarray(two), names)
    agreed = overall_accuracy(matrix)
    each = (1 - np.sqrt(2 * agreed - 1)) / 2  # agreed = 1 - 2 e (1 - e), with independent errors
    return {
        "places": len(both), "agreement": agreed, "kappa": kappa(matrix), "names": names, "counts": matrix.counts.tolist(),
        "wrong_if_independent": float(each),
    }  # fmt: skip


def register(polygons: int, repeats: int = 3, dates: int = 18, classes: int = 12) -> dict[str, float]:
    """Search a register of declared parcels with one series each, of which 10 % have a wrong class; return time and memory.

    Half of the wrong classes are those of the most similar one. The command runs in a process of its own.
    """
    folder = WORK / f"register-{polygons}"
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(0)
    true = generator.integers(0, classes, polygons)
    days = np.arange(dates) * 20
    peak, width = 60 + 20 * np.arange(classes)[:, None], 40 + 10 * (np.arange(classes)[:, None] % 3)
    shape = 0.2 + 0.6 * np.exp(-(((days - peak) / width) ** 2))  # (K, T)
    moved = generator.normal(0, 12, polygons)[:, None]
    season = 0.2 + 0.6 * np.exp(-(((days - peak[true] - moved) / width[true]) ** 2))
    bands = {"red": 0.3 - 0.25 * season, "nir": 0.15 + 0.4 * season, "swir16": 0.35 - 0.15 * season}
    wrong = generator.random(polygons) < 0.1
    distance = np.square(shape[:, None] - shape[None]).sum(2) + 1e9 * np.eye(classes)
    similar, other = distance.argmin(1)[true], (true + generator.integers(1, classes, polygons)) % classes
    label = np.where(wrong, np.where(generator.random(polygons) < 0.5, similar, other), true)
    long = {"id": np.repeat(np.arange(polygons), dates), "date": np.tile(np.datetime64("2024-01-01") + days, polygons)}
    noise = {
        name: (value + generator.normal(0, 0.02, value.shape)).ravel().astype(np.float32)
        for name, value in bands.items()
    }
    pandas.DataFrame(long | noise).to_parquet(folder / "series.parquet")
    pandas.DataFrame({"id": np.arange(polygons), "crop": label + 1}).to_parquet(folder / "labels.parquet")
    recipe = write(folder / "register.toml", {
        "grid": {"like": "s2"}, "model": FOREST,
        "sources": {"s2": {"sensor": "table", "path": "series.parquet", "id": "id", "date": "date", "bands": {b: b for b in bands}}},
        "reference": {"path": "labels.parquet", "label": "crop", "sample_id": "id"},
        "legend": {"classes": [{"code": k + 1, "name": f"crop {k + 1}"} for k in range(classes)]},
    })  # fmt: skip
    started, out = time.monotonic(), folder / "out"
    used = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    settings = ["--set", f"doctor.repeats={repeats}", "--set", "doctor.shown=10"]
    command = [sys.executable, "-W", "ignore", "-m", "bocage", "doctor", str(recipe), "--out", str(out), *settings]
    subprocess.run(command, check=True)
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    table = pandas.read_csv(out / "doctor/polygons.csv").sort_values("rank")
    found = wrong[table.polygon.to_numpy(int)]
    result = {
        "polygons": polygons, "repeats": repeats, "samples_dates_bands": [polygons, dates, len(bands)], "seconds": time.monotonic() - started,
        "processor_seconds": usage.ru_utime - used, "memory_gb": usage.ru_maxrss / 1e6, "wrong": int(wrong.sum()),
        "precision": float(found[: wrong.sum()].mean()), "doubtful": int(table.doubtful.sum()),
        "doubtful_right": float(found[table.doubtful.to_numpy() == 1].mean()),
    }  # fmt: skip
    shutil.rmtree(folder)
    return result


def markdown(found: Mapping[str, Mapping[str, Mapping[str, Sequence[Mapping[str, float]]]]]) -> str:
    """Return a table of precision and one of accuracy."""

    def lines() -> Iterator[tuple[str, str, Sequence[Mapping[str, float]]]]:
        for name, cases in found.get("sets", {}).items():
            for case, results in sorted(
                cases.items(), key=lambda item: (item[0].split()[0], float(item[0].split()[1][:-1]))
            ):
                yield name, case, results

    columns = ("doctor precision", "plain precision", "doctor found", "plain found", "doubtful", "doubtful_right")
    first = [(n, c, len(r), *(spread([one[key] for one in r]) for key in columns)) for n, c, r in lines()]
    second = [
        (n, c, *(spread([one[key] for one in r]) for key in ("keep", "drop", "weight", "oracle")), won_back(r))
        for n, c, r in lines()
    ]
    heads = (("set", "swapped", "draws", *columns), ("set", "swapped", "keep", "drop", "weight", "oracle", "won back"))
    return "\n\n".join(table(head, rows) for head, rows in zip(heads, (first, second), strict=True))


def won_back(results: Sequence[Mapping[str, float]]) -> str:
    """Return the gain of drop over the loss of keep, of the means over the draws."""
    keep, drop, oracle = (float(np.mean([one[key] for one in results])) for key in ("keep", "drop", "oracle"))
    return f"{(drop - keep) / (oracle - keep):.0%}" if oracle - keep > 0.002 else "no loss"


if __name__ == "__main__":
    parser = parser_of(__name__)
    parser.add_argument("--draws", type=int, default=DRAWS)
    parser.add_argument("--agreement", action="store_true")
    parser.add_argument("--ceiling", action="store_true")
    parser.add_argument("--register", type=int, default=0)
    parser.add_argument("--repeats", type=int, default=3)
    chosen = parser.parse_args()
    check_words(sys.modules[__name__], chosen.words)
    WORK.mkdir(parents=True, exist_ok=True)
    if chosen.agreement:
        RESULTS.measure(("agreement",), agreement)
    if chosen.register:
        keys = ("register", f"{chosen.register} polygons, {chosen.repeats} repeats")
        RESULTS.measure(keys, lambda: register(chosen.register, chosen.repeats))
    if chosen.ceiling:
        print(ceilings(chosen.words or REPORTED, chosen.draws))
    if not (chosen.agreement or chosen.register or chosen.ceiling):
        print(run(chosen.words, chosen.draws))
