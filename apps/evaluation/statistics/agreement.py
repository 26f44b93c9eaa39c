"""How far two raters agree: Cohen's kappa, with its interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import ndtri

from apps.evaluation.statistics.pairing import Array
from apps.evaluation.statistics.types import Interval

Label = str | int | float
Weights = Literal["unweighted", "quadratic"]


@dataclass(frozen=True, slots=True)
class Kappa:
    """Agreement beyond chance: 1 is perfect, 0 what chance alone would give. None where it is not defined: one label
    alone was ever used, so that chance explains everything.
    """

    value: float | None
    interval: Interval | None
    agreement: float  # the plain share of equal labels
    items: int


def cohens_kappa(
    first: Sequence[Label],
    second: Sequence[Label],
    labels: Sequence[Label],
    *,
    weights: Weights = "unweighted",
    level: float = 0.95,
) -> Kappa:
    """Cohen's kappa (1960; weighted 1968) with the interval of Fleiss, Cohen and Everitt (1969).

    Args:
        labels: All that can be given. ``quadratic`` weighs a disagreement by the square of its distance, and takes
            numbers: 4 and 5 are neighbours though nobody said 2 or 3.
    """
    table = confusion(first, second, labels)
    items = int(table.sum())
    shares = table / items
    agreement = float(np.trace(shares))
    weight: Array = np.eye(len(labels))
    if weights == "quadratic":
        scale = np.asarray(labels, dtype=float)
        weight = 1.0 - (np.subtract.outer(scale, scale) / (np.ptp(scale) or 1.0)) ** 2
    rows, columns = shares.sum(axis=1), shares.sum(axis=0)
    observed = float((weight * shares).sum())
    by_chance = float((weight * np.outer(rows, columns)).sum())
    if math.isclose(by_chance, 1.0):
        return Kappa(None, None, agreement, items)
    kappa = (observed - by_chance) / (1 - by_chance)
    mean_rows, mean_columns = weight @ columns, rows @ weight
    means = np.add.outer(mean_rows, mean_columns)
    variance = float((shares * (weight - means * (1 - kappa)) ** 2).sum())
    variance -= (kappa - by_chance * (1 - kappa)) ** 2
    error = math.sqrt(max(variance, 0.0) / items) / (1 - by_chance)
    half = -float(ndtri((1 - level) / 2)) * error
    return Kappa(kappa, Interval(max(kappa - half, -1.0), min(kappa + half, 1.0), level), agreement, items)


def confusion(first: Sequence[Label], second: Sequence[Label], labels: Sequence[Label]) -> Array:
    """How often the first rater gave the row's label and the second the column's. Raises ValueError."""
    places = {label: place for place, label in enumerate(labels)}
    if len(first) != len(second) or not first:
        raise ValueError("Both raters rate the same items, and at least one.")
    if unknown := (set(first) | set(second)) - places.keys():
        raise ValueError(f"{min(map(str, unknown))!r} is none of the labels.")
    table = np.zeros((len(labels), len(labels)))
    np.add.at(table, ([places[label] for label in first], [places[label] for label in second]), 1.0)
    return table
