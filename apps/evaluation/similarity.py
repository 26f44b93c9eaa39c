"""Which texts are like each other, by the words that they share: TF-IDF and the angle between them.

Explainable and cheap: a cluster's name is the words that its texts have in common. Only the worker imports this.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

ALIKE = 0.30
NEARLY_EQUAL = 0.85
LABEL_WORDS = 3
AT_ONCE = 256


def _words(text: str) -> list[str]:
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS  # type: ignore[import-untyped]

    found = re.findall(r"[^\W\d_]{3,}", text.lower())
    return [word for word in found if word not in ENGLISH_STOP_WORDS]


def _vectors(texts: Sequence[str]) -> tuple[Any, Any] | None:
    """(matrix, vocabulary); None where there is no word."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(sublinear_tf=True, max_features=20_000, analyzer=_words)
    try:
        return vectorizer.fit_transform(texts), vectorizer.get_feature_names_out()
    except ValueError:  # nothing but stop words
        return None


def clusters(texts: Sequence[str]) -> list[str]:
    """For each text its cluster's name, such as "hail, roof, skylight"; empty for one that is like no other.

    Each text joins the cluster whose middle it is nearest to, or begins one. The order decides ties, so that the same
    texts give the same clusters.
    """
    import numpy

    names = [""] * len(texts)
    found = _vectors(texts) if len(texts) > 1 else None
    if found is None:
        return names
    matrix, words = found
    sums: list[Any] = []
    members: list[list[int]] = []
    for at in range(matrix.shape[0]):
        row = matrix[at]
        best, similarity = -1, ALIKE
        if sums:
            stack = numpy.vstack(sums)
            lengths = numpy.linalg.norm(stack, axis=1)
            near = (stack @ row.T.toarray()).ravel() / numpy.where(lengths == 0, 1, lengths)
            if near.max() >= similarity:
                best = int(near.argmax())
        if best < 0:
            sums.append(row.toarray().ravel())
            members.append([at])
        else:
            sums[best] = sums[best] + row.toarray().ravel()
            members[best].append(at)
    for group in members:
        if len(group) > 1:
            name = _name(matrix[group], words)
            for at in group:
                names[at] = name
    return names


def _name(rows: Any, words: Any) -> str:
    """The words that most of the texts share, weightiest first."""
    import numpy

    shared = numpy.asarray((rows > 0).mean(axis=0)).ravel()
    weight = numpy.asarray(rows.mean(axis=0)).ravel()
    order = sorted(range(len(words)), key=lambda at: (shared[at] < 0.5, -weight[at] * shared[at], words[at]))
    return ", ".join(str(words[at]) for at in order[:LABEL_WORDS] if weight[at] > 0)[:100]


def nearest(texts: Sequence[str], known: Sequence[str]) -> list[tuple[int, float] | None]:
    """For each text the known one that is nearly equal to it, with how equal (0 to 1)."""
    nothing: list[tuple[int, float] | None] = [None] * len(texts)
    found = _vectors([*texts, *known]) if texts and known else None
    if found is None:
        return nothing
    matrix, _ = found
    asked, others = matrix[: len(texts)], matrix[len(texts) :]
    for begin in range(0, len(texts), AT_ONCE):
        similarities = (asked[begin : begin + AT_ONCE] @ others.T).toarray()
        for at, row in enumerate(similarities, begin):
            best = int(row.argmax())
            if row[best] >= NEARLY_EQUAL:
                nothing[at] = (best, min(float(row[best]), 1.0))
    return nothing
