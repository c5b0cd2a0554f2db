"""Accuracy before the end of the season, in Python."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from bocage.api.display import section, table
from bocage.evaluation import SeasonScore
from bocage.report import season_figures
from bocage.words import words_of


@dataclass(frozen=True)
class Season:
    """Curves of the accuracy against the last day of the series."""

    score: SeasonScore
    """Results of the draws."""
    colors: Mapping[str, str]
    """Class → colour."""
    title: str
    language: str = "en"

    def curves(self) -> pd.DataFrame:
        """Return the rows of ``season.csv``: model, cut-off, measure, class (empty: all), mean, low and high."""
        header, *rows = self.score.rows()
        found = pd.DataFrame(rows, columns=list(header))
        numbers = ["mean", "low", "high"]
        found[numbers] = found[numbers].apply(pd.to_numeric)
        return found.assign(date=pd.to_datetime(found["date"]))

    def first(self) -> pd.DataFrame:
        """Return the first cut-offs that reach the wanted accuracy, by mean and by lower bound; NaT: not reached."""
        reached = {"overall accuracy": self.score.overall, **self.score.by_class}
        rows = {name: (one.mean, one.sure) for name, one in reached.items()}
        mean, low = zip(*rows.values(), strict=True)
        return pd.DataFrame({"mean": pd.to_datetime(list(mean)), "low": pd.to_datetime(list(low))}, index=list(rows))

    def _repr_html_(self) -> str:
        """Return the curves, and the first sufficient cut-offs."""
        pictures = season_figures.pictures(self.score, self.colors, words_of(self.language))
        return section(self.title, *pictures, table(self.first()))
