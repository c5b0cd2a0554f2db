"""The benchmark of filling: hidden values stay hidden, clouds hide what they should, and its recipes parse."""

import numpy as np
import pytest
from benchmarks import filling
from benchmarks.generator import Series, Settings, clouds, trained

from bocage.grid import Window
from bocage.scene.cube import Block

DATES, SHAPE = 12, (9, 11)
SMALL = Settings(width=8, steps=4, batch=32)


def made(seed: int = 0) -> tuple[Series, Series]:
    """Return a series whose bands follow a level of each pixel and date, half of it clear, and radar of this level."""
    draw = np.random.default_rng(seed)
    days = np.arange(DATES, dtype=np.int32) * 10 + 18_000
    level = draw.normal(size=(DATES, 1, *SHAPE)).astype(np.float32)
    values = 0.2 + 0.05 * level * np.array([1, 2, -1], np.float32)[:, None, None]
    valid = draw.random((DATES, *SHAPE)) < 0.6
    values[~np.broadcast_to(valid[:, None], values.shape)] = 0
    radar = Series(np.repeat(level, 2, 1), np.ones((DATES, *SHAPE), bool), days)
    return Series(values, valid, days), radar


def test_distances_to_the_clear_dates_around():
    valid = np.array([False, True, False, False, True])[:, None, None]
    days = np.array([0, 3, 5, 9, 10], np.int32)
    before, after = Series(np.zeros((5, 1, 1, 1), np.float32), valid, days).apart[..., 0, 0]
    assert before.tolist() == [np.inf, 0, 2, 6, 0]
    assert after.tolist() == [3, 0, 5, 1, 0]


@pytest.mark.parametrize("columns", [SHAPE[1], 1])
def test_clouds_hide_clear_values_over_runs_of_dates(columns):
    series, _ = made()
    some = Series(series.values[..., :columns], series.valid[..., :columns], series.days)
    hidden = clouds(some, 0.3, np.random.default_rng(3))
    assert not (hidden & ~some.valid).any()
    assert 0.3 <= hidden.sum() / some.valid.sum() < 0.8
    assert not some.without(hidden).values.transpose(0, 2, 3, 1)[hidden].any()


def test_a_buffer_masks_the_surroundings_of_masked_values():
    valid = np.ones((2, 7, 7), bool)
    valid[1, 0, 3] = False
    series = Series(np.ones((2, 1, 7, 7), np.float32), valid, np.array([0, 9], np.int32))
    kept = series.buffered(2)
    assert kept.valid[0].all()
    assert (~kept.valid[1]).nonzero()[0].max() == 2
    assert kept.valid[1].sum() == 49 - 15
    assert not kept.values[1, 0][~kept.valid[1]].any()
    table = Series(series.values[..., :1], valid[..., 2:3], series.days)
    assert table.buffered(2) is table


def test_only_measured_ways_have_a_column():
    draws = [{"overall_accuracy": 0.5 + 0.1 * k, "f1_macro": 0.4} for k in range(3)]
    better = [{**one, "overall_accuracy": one["overall_accuracy"] + 0.02 * (k + 1)} for k, one in enumerate(draws)]
    found = {"random forest, S2": {"no filling": draws, "linear": draws, "generated, buffer": better}}
    found["TempCNN, S2"] = {"no filling": draws[:2], "linear": better}
    head, _, forest, tempcnn = filling.accuracy_table(found, "overall_accuracy", 0).splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in (head, forest, tempcnn)]
    tests = [f"generated, buffer − {other}" for other in ("no filling", "linear")]
    assert cells[0] == ["", "draws", "no filling", "linear", "generated, buffer", *tests]
    assert cells[1][1:] == ["3", "0.600 ± 0.100", "0.600 ± 0.100", "0.640 ± 0.120", *["+0.040 (p 0.074)"] * 2]
    assert cells[2][1:] == ["2", "0.550 ± 0.071", "0.580 ± 0.085", "", "", ""]  # the draws that both have


def test_hidden_values_change_nothing_and_clear_values_stay():
    series, radar = made()
    hidden = clouds(series, 0.2, np.random.default_rng(1))
    filled = []
    for garbage in (0.0, 9.0):
        other = Series(series.values + garbage * hidden[:, None], series.valid, series.days)
        seen = other.without(hidden)
        filled.append(trained(seen, radar, SMALL, 0).fill(seen))
    np.testing.assert_array_equal(*filled)
    clear = np.broadcast_to((series.valid & ~hidden)[:, None], series.values.shape)
    np.testing.assert_array_equal(filled[0][clear], series.values[clear])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["attention", "dense"])
def test_the_generator_reads_radar(kind):
    series, radar = made()
    points = [Series(one.values.reshape(*one.values.shape[:2], -1, 1), one.valid.reshape(DATES, -1, 1), one.days)
              for one in (series, radar)]  # fmt: skip
    hidden = clouds(points[0], 0.2, np.random.default_rng(1))
    seen, error = points[0].without(hidden), {}
    for use in (True, False):
        settings = Settings(kind, width=16, steps=200, batch=48, rate=1e-2, radar=use)
        own = trained(seen, points[1], settings, 0).fill(seen)
        error[use] = filling.squares(own, points[0].values, hidden).mean()
    linear = filling.squares(seen.linear, points[0].values, hidden).mean()
    assert error[True] < 0.5 * error[False]
    assert error[True] < 0.3 * linear


def test_pixels_in_memory_are_masked_beyond_the_grid():
    block = Block(np.ones((2, 1, 3, 4), np.float32), np.ones((2, 3, 4), bool), np.ones((3, 4), np.uint16))

    class Grid:
        shape = (3, 4)

    read = filling.Filled(None, Grid(), None, None, stored=block).read(Window(-1, 2, 3, 4))
    assert read.valid[0].tolist() == [[False] * 4, [True, True, False, False], [True, True, False, False]]
    assert read.values.shape == (2, 1, 3, 4)


@pytest.mark.parametrize("scene", ["flanders", "canada"])
@pytest.mark.parametrize("model", filling.MODELS)
def test_recipes_fill_what_they_should(scene, model, monkeypatch, tmp_path):
    monkeypatch.setenv("BOCAGE_DATA", str(tmp_path))
    names, tables = filling.MODELS[model]
    recipe = filling.Place(scene, 3).recipe(tables, names, ["s2"])
    filled = {name: source.preparation.fill for name, source in recipe.sources.items()}
    assert filled == {name: filling.REGULAR[scene] if name == "s2" else None for name in names}
    assert (recipe.split.seed, recipe.choice.name) == (3, tables["model"]["name"])
