"""Scores of a whole set as functions of sums over its items, for any number of resamples at once.

BLEU and chrF as sacrebleu 2.6 computes them (tested against it), macro F1 as scikit-learn does.
"""

import numpy as np

from loraflow.compare.statistics import Array

BLEU_ORDER = 4
CHRF_ORDER, CHRF_BETA = 6, 2


def bleu(sums: Array) -> Array:
    """Return BLEU, 0 to 100 (Papineni et al. 2002), smoothed as sacrebleu's default "exp" does.

    Sums: length of the answers, of the references, n-grams that match (4), n-grams there are (4).
    """
    lengths, references = sums[..., 0], sums[..., 1]
    matches, totals = sums[..., 2 : 2 + BLEU_ORDER], sums[..., 2 + BLEU_ORDER :]
    missed = (matches == 0) & (totals > 0)
    smoothing = np.exp2(-np.cumsum(missed, axis=-1))
    with np.errstate(divide="ignore", invalid="ignore"):
        precisions = np.where(missed, smoothing, matches) / totals
        brevity = np.where(lengths < references, np.exp(1 - references / lengths), 1.0)
        score = 100 * brevity * np.exp(np.log(precisions).mean(axis=-1))
    empty = (matches.sum(axis=-1) == 0) | (totals == 0).any(axis=-1) | (lengths == 0)
    found: Array = np.where(empty, 0.0, score)
    return found


def chrf(sums: Array) -> Array:
    """Return chrF2, 0 to 100 (Popović 2015): means of precision and recall over n-gram lengths.

    Sums, for each length 1 to 6: n-grams of the answers, of the references, and shared.
    """
    by_order = sums.reshape(*sums.shape[:-1], CHRF_ORDER, 3)
    answers, references, shared = (by_order[..., part] for part in range(3))
    counted = (answers > 0) & (references > 0)
    orders = counted.sum(axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        precision = np.where(counted, shared / answers, 0).sum(axis=-1) / orders
        recall = np.where(counted, shared / references, 0).sum(axis=-1) / orders
        factor = CHRF_BETA**2
        score = (1 + factor) * precision * recall / (factor * precision + recall)
    found: Array = np.where((orders > 0) & (precision + recall > 0), 100 * score, 0.0)
    return found


def macro_precision(sums: Array) -> Array:
    """Return the mean over labels of the share of right ones among those given."""
    hits, given, _ = _by_label(sums)
    return _over_labels(_share(hits, given), sums)


def macro_recall(sums: Array) -> Array:
    """Return the mean over labels of the share of those that were given the right label."""
    hits, _, right = _by_label(sums)
    return _over_labels(_share(hits, right), sums)


def macro_f1(sums: Array) -> Array:
    """Return the mean over labels of 2 * hits / (given + right)."""
    hits, given, right = _by_label(sums)
    return _over_labels(_share(2 * hits, given + right), sums)


def _by_label(sums: Array) -> tuple[Array, Array, Array]:
    """Sums, for each label: items given it rightly, given it, and whose right label it is."""
    labels = sums.reshape(*sums.shape[:-1], -1, 3)
    return labels[..., 0], labels[..., 1], labels[..., 2]


def _share(part: Array, whole: Array) -> Array:
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)


def _over_labels(scores: Array, sums: Array) -> Array:
    """Average over labels that occur, given or right."""
    _, given, right = _by_label(sums)
    occurs = (given + right) > 0
    mean: Array = (scores * occurs).sum(axis=-1) / occurs.sum(axis=-1)
    return mean
