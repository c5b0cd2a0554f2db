"""Gradient-boosted trees on pixels or on patches, by LightGBM.

Ke et al. 2017, "LightGBM: A Highly Efficient Gradient Boosting Decision Tree", NIPS 30. The features are those of
``random_forest``; masked values are NaN. The boosted trees are stored in ``state_dict`` as text in LightGBM's own format.
Training is deterministic for a given seed. Departure: with fewer than ten times `min_leaf` samples, a leaf can have fewer samples
than LightGBM's default of 20, which permits no split at all below 40 samples.

::

    s2 (B, T, C, Y, X) ─┐
    s1 (B, T, C, Y, X) ─┴→ features (B·Y·X, ΣT·C) → boosted trees → log of class probabilities (B, K, Y, X)
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bocage.errors import ModelError
from bocage.models.base import Batch, Network
from bocage.models.card import Abilities, InputSpec
from bocage.models.settings.lightgbm import CARD, Config
from bocage.models.tabular import Table

__all__ = ["CARD", "Config", "Model"]


LEAVES = 10
"""A leaf has at most this part of the samples that are fitted: 1 / LEAVES."""


class Model(Network):
    """The trees under the contract of every network."""

    abilities = Abilities(fitted=True, weighted=True)

    def __init__(self, inputs: Mapping[str, InputSpec], n_classes: int, config: Config) -> None:
        super().__init__()
        self.table = Table(inputs, config, "lightgbm")
        self.inputs, self.footprints, self.texture = self.table.inputs, self.table.footprints, self.table.texture
        self.n_classes, self.config = n_classes, config
        self.trees: Any = None

    def fit(self, batch: Batch, labels: Tensor, seed: int, weights: Tensor | None = None) -> None:
        """Fit the trees to samples of one footprint each, with labels (B,) and weights (B,)."""
        import lightgbm  # it takes half a second to import, and only this model needs it

        c, least = self.config, max(1, min(self.config.min_leaf, len(labels) // LEAVES))
        parameters = {
            "objective": "multiclass", "num_class": self.n_classes, "num_leaves": c.leaves, "verbosity": -1,
            "learning_rate": c.learning_rate, "min_data_in_leaf": least, "feature_fraction": c.columns,
            "seed": seed % (1 << 31), "deterministic": True, "force_row_wise": True,
        }  # fmt: skip
        weight = None if weights is None else weights.numpy()
        data = lightgbm.Dataset(self.table.fit(batch), labels.numpy(), weight=weight, free_raw_data=True)
        self.trees = lightgbm.train(parameters, data, c.rounds)

    def forward(self, batch: Batch) -> Tensor:
        """Return the log-probabilities (B, K, Y, X), float32; classes absent from training get about −16."""
        if self.trees is None:
            raise ModelError("lightgbm: the trees have not been fitted. Train them before you predict.")
        return self.table.probabilities(batch, self.n_classes, self._probabilities)

    def _probabilities(self, rows: NDArray[np.float32]) -> NDArray[Any]:
        return np.asarray(self.trees.predict(rows, num_threads=torch.get_num_threads())).reshape(
            len(rows), self.n_classes
        )

    def get_extra_state(self) -> Tensor:
        """Return the trees as the bytes of their text; empty before fitting."""
        data = b"" if self.trees is None else self.trees.model_to_string().encode()
        return torch.frombuffer(bytearray(data), dtype=torch.uint8) if data else torch.zeros(0, dtype=torch.uint8)

    def set_extra_state(self, state: Tensor) -> None:
        """Rebuild the trees from their text.

        Raises
        ------
        ModelError
            The text is damaged.
        """
        if state.numel():
            import lightgbm

            try:
                self.trees = lightgbm.Booster(model_str=state.numpy().tobytes().decode())
            except (lightgbm.basic.LightGBMError, UnicodeDecodeError) as error:
                raise ModelError(f"lightgbm: the stored trees are damaged: {error}.") from error
            if (found := self.trees.num_model_per_iteration()) != self.n_classes:
                raise ModelError(f"lightgbm: the stored trees have {found} classes, the legend has {self.n_classes}.")
