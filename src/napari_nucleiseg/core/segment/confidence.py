"""How likely each nucleus is a true one, from the maps that it was cut from.

The mean of a nucleus's own nucleus map says how sure the network is of its pixels,
but not whether its outline is right: pieces of a nucleus, and two in one, are made of
pixels that are surely nucleus. Four features that are cheap to compute tell more:

``sureness``
    log odds of the mean nucleus map in it;
``contact``
    square root of its mean contact map: where nuclei touch, cuts may be wrong;
``shallowness``
    mean distance map on its rim over that in all of it. A nucleus whose outline is
    right has almost no depth at its rim; a piece of one, or an outline drawn too
    tight, does;
``excess``
    how many times (log 2) it is larger than the median nucleus of its plane; 0 for
    smaller ones.

A logistic function of them, fitted on images with known nuclei, is the confidence: the
share of such nuclei that have a true one at an IoU of at least 0.5 [1]_. A model's card
holds its weights, the sign of each of which is fixed: a higher mean nucleus map never
lowers the confidence.

References
----------
.. [1] J. C. Platt, "Probabilistic outputs for support vector machines and comparisons
   to regularized likelihood methods", Advances in Large Margin Classifiers, 1999.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import numpy as np
from pydantic import Field, field_validator

from napari_nucleiseg.core.record import JsonTable, Record
from napari_nucleiseg.core.segment.figures import NucleusFigures

#: The features of a nucleus, and the sign that the weight of each may have.
FEATURES = {"sureness": 1, "contact": -1, "shallowness": -1, "excess": -1}

#: Strength of the ridge (L2) penalty on the weights when they are fitted.
RIDGE = 3.0

#: Probabilities are kept this far from 0 and 1 before their log odds are taken.
_MARGIN = 0.01

#: The figures of a plane's nuclei to the confidence of each.
Judge = Callable[[NucleusFigures], np.ndarray]


def nucleus_features(figures: NucleusFigures) -> np.ndarray:
    """Return the features that the confidence of each nucleus is computed from.

    Parameters
    ----------
    figures : NucleusFigures
        Of all nuclei of a plane.

    Returns
    -------
    numpy.ndarray
        ``(n, 4)`` float64, a column for each of `FEATURES`.
    """
    if not len(figures):
        return np.zeros((0, len(FEATURES)))
    inside = np.clip(figures.mean("nucleus"), _MARGIN, 1 - _MARGIN)
    edge = figures.rim_distance / figures.unit / np.maximum(figures.rim, 1)
    area = figures.area
    return np.stack(
        [
            np.log(inside / (1 - inside)),
            np.sqrt(figures.mean("contact")),
            np.minimum(edge / np.maximum(figures.mean("distance"), 0.02), 2.0),
            np.maximum(np.log2(area / np.median(area)), 0.0),
        ],
        axis=1,
    )


def label_confidence(figures: NucleusFigures) -> np.ndarray:
    """Return how sure the network is of each nucleus: its mean nucleus map.

    Parameters
    ----------
    figures : NucleusFigures
        Of the nuclei.

    Returns
    -------
    numpy.ndarray
        ``(n,)`` float32 in 0-1.
    """
    return figures.mean("nucleus").astype(np.float32)


#: What a feature may add to the log odds, at most: more is certain anyhow.
LogOdds = Annotated[float, Field(ge=-1000, le=1000)]


class Calibration(Record):
    """Turns the features of a nucleus into the probability that it is a true one.

    Parameters
    ----------
    intercept : float
        Log odds of a nucleus whose features are all 0.
    weights : dict of str to float
        What each of `FEATURES` adds to the log odds, per unit.
    fitted_on : dict
        What it was fitted on, for the reader.
    """

    intercept: LogOdds
    weights: dict[str, LogOdds]
    fitted_on: JsonTable = Field(default_factory=dict)

    @field_validator("weights")
    @classmethod
    def _check_signs(cls, weights: dict[str, float]) -> dict[str, float]:
        if set(weights) != set(FEATURES):
            raise ValueError(
                f"A calibration must have the weights {', '.join(FEATURES)}; received "
                f"{', '.join(weights) or 'none'}."
            )
        for name, value in weights.items():
            if value * FEATURES[name] < 0:
                wanted = "0 or more" if FEATURES[name] > 0 else "0 or less"
                raise ValueError(f"{name} must be {wanted}; received {value!r}.")
        return weights

    def __call__(self, figures: NucleusFigures) -> np.ndarray:
        """Return the confidence of each nucleus.

        Parameters
        ----------
        figures : NucleusFigures
            Of all nuclei of a plane.

        Returns
        -------
        numpy.ndarray
            ``(n,)`` float32 in 0-1.
        """
        return self.confidence(nucleus_features(figures))

    def confidence(self, features: np.ndarray) -> np.ndarray:
        """Return the confidences ``(n,)`` float32 of rows of `nucleus_features`."""
        weights = np.array([self.weights[name] for name in FEATURES])
        return _logistic(features @ weights + self.intercept).astype(np.float32)


def _logistic(odds: np.ndarray) -> np.ndarray:
    return np.exp(-np.logaddexp(0, -odds))


def fit_calibration(
    features: np.ndarray,
    matched: np.ndarray,
    *,
    fitted_on: dict[str, Any] | None = None,
) -> Calibration:
    """Fit a calibration on nuclei that are known to be true or false.

    Parameters
    ----------
    features : numpy.ndarray
        ``(n, 4)``; see `nucleus_features`.
    matched : numpy.ndarray
        ``(n,)`` bool: whether each has a true nucleus at an IoU of at least 0.5.
    fitted_on : dict, optional
        What to say in the card besides the counts.

    Returns
    -------
    Calibration
        The same for the same input.

    Raises
    ------
    ValueError
        If the shapes do not fit, or all nuclei are true, or all false.
    """
    # Imported when needed: whoever segments does not fit.
    from scipy.optimize import minimize

    features, matched = np.asarray(features, float), np.asarray(matched, bool)
    if features.shape != (matched.size, len(FEATURES)):
        raise ValueError(
            f"There must be {len(FEATURES)} features of each of {matched.size} "
            f"nuclei; received an array of shape {features.shape}."
        )
    if matched.all() or not matched.any():
        raise ValueError(
            "Fitting the confidence needs true and false nuclei; received "
            f"{int(matched.sum())} true ones and {int((~matched).sum())} false."
        )
    middle, spread = features.mean(axis=0), features.std(axis=0)
    spread[spread < 1e-9] = 1.0
    scaled = (features - middle) / spread
    sign = np.where(matched, 1.0, -1.0)

    def loss(at: np.ndarray) -> tuple[float, np.ndarray]:
        margin = sign * (scaled @ at[1:] + at[0])
        slope = -sign * _logistic(-margin)
        value = np.logaddexp(0, -margin).sum() + RIDGE / 2 * (at[1:] ** 2).sum()
        return value, np.r_[slope.sum(), slope @ scaled + RIDGE * at[1:]]

    bounds: list[tuple[int | None, int | None]] = [(None, None)]
    bounds += [(0, None) if s > 0 else (None, 0) for s in FEATURES.values()]
    best = minimize(
        loss,
        np.zeros(1 + len(FEATURES)),
        jac=True,
        bounds=bounds,
        method="L-BFGS-B",
        options={"ftol": 1e-12, "gtol": 1e-8},
    ).x
    weights = best[1:] / spread
    return Calibration(
        intercept=round(float(best[0] - weights @ middle), 5),
        # + 0.0: no minus zero in the card
        weights={
            name: round(float(w), 5) + 0.0
            for name, w in zip(FEATURES, weights, strict=True)
        },
        fitted_on={
            **(fitted_on or {}),
            "nuclei": int(matched.size),
            "true": int(matched.sum()),
        },
    )
