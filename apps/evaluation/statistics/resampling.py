"""The paired bootstrap (how sure is the difference?) and the randomisation test (could it be chance?)."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri

from apps.evaluation.statistics.pairing import Array
from apps.evaluation.statistics.types import Interval

# Up to so many differences that are not 0, all of their signs are tried instead of a sample.
MOST_ENUMERATED: Final = 12
_CELLS: Final = 2_000_000  # of a block of resamples: bounds the memory for any number of pairs


def bca_interval(differences: Array, *, level: float, resamples: int, seed: int) -> Interval:
    """The bias-corrected and accelerated bootstrap interval of the mean (Efron 1987).

    Examples are drawn, with both of their answers: that is what makes it paired.
    """
    n = differences.size
    estimate = float(differences.mean())
    if n < 2 or np.ptp(differences) == 0:
        return Interval(estimate, estimate, level)
    generator = np.random.default_rng(seed)
    means = np.concatenate([differences[drawn].mean(axis=1) for drawn in _drawn(generator, n, resamples)])
    below = (np.count_nonzero(means < estimate) + np.count_nonzero(means <= estimate)) / (2 * resamples)
    # A jackknife's means lie as far from their mean as the values from theirs, but for a factor, which cancels out.
    apart = differences - estimate
    apart /= np.abs(apart).max()  # tiny ones have no cubes
    acceleration = float((apart**3).sum() / (6 * (apart**2).sum() ** 1.5))
    places = np.array([(1 - level) / 2, (1 + level) / 2])
    if 0 < below < 1:  # else all resamples lie on one side of the estimate: the plain percentiles are what is left
        shifted = ndtri(below) + ndtri(places)
        places = ndtr(ndtri(below) + shifted / (1 - acceleration * shifted))
    low, high = np.percentile(means, places * 100)
    return Interval(float(low), float(high), level)


def sign_flip_p(values: Array, *, resamples: int, seed: int) -> float:
    """The two-sided p of Fisher's randomisation test for paired values.

    If both sides were the same, each difference could as well have had the other sign. So the p is exact for two runs
    of one version, whatever the distribution. (Phipson and Smyth 2010: the sample itself counts, so p is never 0.)
    """
    values = values[values != 0]
    n = values.size
    if n == 0:
        return 1.0
    observed = abs(float(values.sum())) * (1 - 1e-9)  # equal sums in another order are equal
    if n <= MOST_ENUMERATED:
        signs = np.array(list(itertools.product((1.0, -1.0), repeat=n)))
        return float(np.mean(np.abs(signs @ values) >= observed))
    generator = np.random.default_rng(seed)
    extreme = 0
    for rows in _blocks(n, resamples):
        # The sum with some signs turned is the sum minus twice what was turned.
        turned = generator.integers(0, 2, (rows, n), dtype=np.int8)
        extreme += int(np.count_nonzero(np.abs(values.sum() - 2 * (turned @ values)) >= observed))
    return (1 + extreme) / (1 + resamples)


def _drawn(generator: np.random.Generator, n: int, resamples: int) -> Iterator[npt.NDArray[np.int64]]:
    for rows in _blocks(n, resamples):
        yield generator.integers(0, n, (rows, n))


def _blocks(n: int, resamples: int) -> Iterator[int]:
    most = max(_CELLS // n, 1)
    for start in range(0, resamples, most):
        yield min(most, resamples - start)
