"""Wilcoxon's signed-rank test, for values on an ordinal scale."""

from __future__ import annotations

import math

import numpy as np
from scipy.special import ndtr

from apps.evaluation.statistics.pairing import Array
from apps.evaluation.statistics.resampling import MOST_ENUMERATED, sign_flip_p


def wilcoxon(differences: Array) -> tuple[str, float]:
    """The test's name and the two-sided p. Zeros are ranked and then dropped (Pratt 1959); ties share their rank.

    All signs are tried for few differences that are not 0; beyond, the normal approximation, whose variance takes the
    ties into account.
    """
    ranks = np.where(differences == 0, 0.0, _ranks(np.abs(differences)))
    signed = np.sign(differences) * ranks
    used = int(np.count_nonzero(signed))
    if used == 0:
        return "Wilcoxon signed-rank, exact", 1.0
    if used <= MOST_ENUMERATED:
        return "Wilcoxon signed-rank, exact", sign_flip_p(signed, resamples=0, seed=0)
    z = float(signed.sum()) / math.sqrt(float((ranks**2).sum()))
    return "Wilcoxon signed-rank", min(1.0, 2 * float(ndtr(-abs(z))))


def _ranks(values: Array) -> Array:
    """From 1 up, ties with the mean of theirs. As scipy.stats has it, to import which takes a second and a half."""
    _, place, ties = np.unique(values, return_inverse=True, return_counts=True)
    ranks: Array = (np.cumsum(ties) - (ties - 1) / 2)[place]
    return ranks
