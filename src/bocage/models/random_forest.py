"""Random forest on pixels or on patches: all bands of all dates of all sources (Breiman 2001, doi:10.1023/A:1010933404324).

Operational chains use this classifier (iota2, Inglada et al. 2017, doi:10.3390/rs9010095). Masked values are NaN, which
scikit-learn's trees handle in their splits. With `patches`, a source gives all pixels of the patch around the map pixel
instead of the pixel itself: the "RF on patches" of Gaetano et al. 2018, doi:10.3390/rs10111746. With `texture`, a source adds
Haralick's texture measures of a window around the map pixel (1973, doi:10.1109/TSMC.1973.4309314).

::

    s2 (B, T, C, Y, X) ─┐
    s1 (B, T, C, Y, X) ─┴→ features (B·Y·X, ΣT·C) → forest → log of class probabilities (B, K, Y, X)

The fitted forest is stored in ``state_dict`` as bytes in the skops format, which runs no arbitrary code when it is loaded.
"""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bocage.errors import ModelError
from bocage.models.base import Batch, Network
from bocage.models.card import Abilities, InputSpec
from bocage.models.settings.random_forest import CARD, Config
from bocage.models.tabular import Table

__all__ = ["CARD", "Config", "Model"]

if TYPE_CHECKING:  # scikit-learn and skops take seconds to import, and only this model needs them
    from sklearn.ensemble import RandomForestClassifier

ROWS = 16384
"""Pixels classified at a time by one thread."""


class Model(Network):
    """The forest under the contract of every network."""

    abilities = Abilities(fitted=True, weighted=True)

    def __init__(self, inputs: Mapping[str, InputSpec], n_classes: int, config: Config) -> None:
        super().__init__()
        self.table = Table(inputs, config, "random_forest")
        self.inputs, self.footprints, self.texture = self.table.inputs, self.table.footprints, self.table.texture
        self.n_classes = n_classes
        self.config = config
        self.forest: RandomForestClassifier | None = None
        self.archive = b""

    def fit(self, batch: Batch, labels: Tensor, seed: int, weights: Tensor | None = None) -> None:
        """Fit the trees to samples of one footprint each, with labels (B,) and weights (B,)."""
        import skops.io
        from sklearn.ensemble import RandomForestClassifier

        forest = RandomForestClassifier(
            self.config.trees,
            max_depth=self.config.max_depth,
            min_samples_leaf=self.config.min_leaf,
            random_state=seed,
            n_jobs=-1,
        )
        forest.fit(self.table.fit(batch), labels.numpy(), None if weights is None else weights.numpy())
        self.forest = forest
        self.archive = skops.io.dumps(forest)  # once: each archive contains the time of its creation

    def forward(self, batch: Batch) -> Tensor:
        """Return the log-probabilities (B, K, Y, X), float32; classes absent from training get about −16."""
        if self.forest is None:
            raise ModelError("random_forest: the forest has not been fitted. Train it before you predict.")
        return self.table.probabilities(batch, self.n_classes, self._probabilities)

    def _probabilities(self, rows: NDArray[np.float32]) -> NDArray[Any]:
        assert self.forest is not None
        if rows.shape[1] != self.forest.n_features_in_:  # the trees read beyond the end of shorter rows
            raise ModelError(
                f"random_forest: {rows.shape[1]} columns were given, but the forest was trained on {self.forest.n_features_in_}."
            )
        parts = [rows[i : i + ROWS] for i in range(0, len(rows), ROWS)]
        probabilities = np.zeros((len(rows), self.n_classes), np.float32)
        with ThreadPoolExecutor(max(1, min(len(parts), torch.get_num_threads()))) as pool:
            probabilities[:, self.forest.classes_] = np.concatenate(list(pool.map(self._mean, parts)))
        return probabilities

    def _mean(self, rows: NDArray[np.float32]) -> NDArray[Any]:
        """Return the mean probabilities (N, K) of the trees, summed in a fixed order so that results are reproducible.

        It calls the trees directly, because scikit-learn's own method checks the rows again for each tree.
        """
        assert self.forest is not None
        trees = [estimator.tree_ for estimator in self.forest.estimators_]
        total = np.zeros((len(rows), len(self.forest.classes_)))
        for tree in trees:
            total += tree.predict(rows)
        return total / len(trees)

    def get_extra_state(self) -> Tensor:
        """Return the forest as the bytes of a skops archive; empty before fitting."""
        data = self.archive
        return torch.frombuffer(bytearray(data), dtype=torch.uint8) if data else torch.zeros(0, dtype=torch.uint8)

    def set_extra_state(self, state: Tensor) -> None:
        """Rebuild the forest. Only types that skops trusts are loaded, and trees that pass :func:`_check`.

        Raises
        ------
        ModelError
            The stored trees are damaged.
        """
        if state.numel():
            import skops.io

            archive = state.numpy().tobytes()
            forest = skops.io.loads(archive, trusted=["sklearn.tree._tree.Tree"])
            _check(forest, self.n_classes)
            self.forest, self.archive = forest, archive


def _check(forest: Any, n_classes: int) -> None:
    """Check that nodes and features of the trees are in range: scikit-learn does not check them when it predicts.

    Raises
    ------
    ModelError
        The object is not a random forest, a node points outside its tree, a split uses a feature that does
        not exist, or a class is not in the legend.
    """
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.tree import DecisionTreeClassifier

    kinds = {type(estimator) for estimator in forest.estimators_} if type(forest) is RandomForestClassifier else set()
    if kinds != {DecisionTreeClassifier}:
        raise ModelError("random_forest: the stored object is not a random forest of classification trees.")
    if not 0 <= forest.classes_.min() <= forest.classes_.max() < n_classes:
        raise ModelError(f"random_forest: the stored trees are of other classes than the {n_classes} of the legend.")
    for tree in (estimator.tree_ for estimator in forest.estimators_):
        nodes = np.arange(tree.node_count)
        split = tree.children_left != -1
        for child in (tree.children_left, tree.children_right):
            if ((child[split] <= nodes[split]) | (child[split] >= tree.node_count)).any() or (
                child[~split] != -1
            ).any():
                raise ModelError("random_forest: the stored trees are damaged (a node points outside its tree).")
        if ((tree.feature[split] < 0) | (tree.feature[split] >= forest.n_features_in_)).any():
            raise ModelError(
                "random_forest: the stored trees are damaged (a split uses a feature that does not exist)."
            )
