"""Draw the figure of the page about trends: seasonal NDVI of two simulated parcels, their slopes, and the anomalies."""

import datetime

import numpy as np
from matplotlib.figure import Figure

from bocage.days import EPOCH
from bocage.finish.trends import Observations, Season, Settings, trends, yearly

YEARS, DROUGHT, NAMES = range(2014, 2025), 2019, ("a parcel that becomes greener", "a meadow with a drought")
rng = np.random.default_rng(4)
dates = [datetime.date(year, 4, 1) + datetime.timedelta(12 * k) for year in YEARS for k in range(16)]
dates = [date for date in dates if rng.random() < 0.6]  # the others are cloudy
curve = np.array([0.25 + 0.45 * np.sin(np.pi * (date.timetuple().tm_yday - 60) / 240) for date in dates])
year = np.array([date.year for date in dates])
noise = {y: rng.normal(0, 0.015, 2) for y in YEARS}
ndvi = np.stack([curve + 0.012 * (year - 2014), curve - 0.18 * (year == DROUGHT)])
ndvi += np.stack([noise[y] for y in year.tolist()], 1) + rng.normal(0, 0.01, ndvi.shape)
seen = Observations(np.array([(date - EPOCH).days for date in dates]), np.ones(ndvi.shape), ndvi)
settings = Settings(season=Season((4, 1), (9, 30)))
found = yearly(seen, settings)
trend, values = trends(found, settings.statistic), found.values[settings.statistic]
figure = Figure(figsize=(13, 4.5), layout="constrained")
panels = figure.subplots(2, 2, sharex=True, height_ratios=(2, 1))
for p, name in enumerate(NAMES):
    above, below = panels[:, p]
    above.title.set_fontsize(10)
    above.plot(
        [date.year + date.timetuple().tm_yday / 365 for date in dates], ndvi[p], ".", color="0.7", label="clear dates"
    )
    at = np.array(found.years) + 0.5
    above.plot(at, values[p], "o-", color="#1b7837", label="mean of the season")
    middle = np.nanmedian(values[p] - trend.slope[p] * at)
    above.plot(at, middle + trend.slope[p] * at, "--", color="k", lw=1, label="Theil–Sen slope")
    ends = f"{trend.low[p]:.3f} to {trend.high[p]:.3f}"
    above.set(title=f"{name}: {trend.slope[p]:+.3f} a year ({ends}), p = {trend.p[p]:.2g}", ylabel="NDVI")
    below.bar(at, trend.anomaly[p], color=np.where(trend.anomaly[p] < 0, "#b35806", "#1b7837"))
    below.axhline(0, color="k", lw=0.8)
    below.set(ylabel="anomaly", xlabel="year")
panels[0, 0].legend(frameon=False, fontsize=8)
figure.savefig("docs/gallery/trends.png", dpi=90, bbox_inches="tight", pad_inches=0.1)
