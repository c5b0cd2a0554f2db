"""Predictions + truth → Score: metrics of confusion matrices over several draws."""

from bocage.evaluation.area import Adjusted, Clusters, Strata, clustered, stratified
from bocage.evaluation.comparison import Comparison, Line, set_beside
from bocage.evaluation.correction import Corrected, corrected
from bocage.evaluation.matrix import ConfusionMatrix, compare
from bocage.evaluation.metrics import METRICS
from bocage.evaluation.predictions import Predictions, predictions_of
from bocage.evaluation.score import Evaluation, Score, load_score, spread_of
from bocage.evaluation.season import AtDay, Curve, SeasonScore
from bocage.evaluation.sets import Covered, Promised
from bocage.evaluation.transfer import Elsewhere, Legends, transfer_of
from bocage.evaluation.trust import Trust, trust_of

__all__ = [
    "METRICS",
    "Adjusted",
    "AtDay",
    "Clusters",
    "Comparison",
    "ConfusionMatrix",
    "Corrected",
    "Covered",
    "Curve",
    "Elsewhere",
    "Evaluation",
    "Legends",
    "Line",
    "Predictions",
    "Promised",
    "Score",
    "SeasonScore",
    "Strata",
    "Trust",
    "clustered",
    "compare",
    "corrected",
    "load_score",
    "predictions_of",
    "set_beside",
    "spread_of",
    "stratified",
    "transfer_of",
    "trust_of",
]
