"""How the scores of a video's faces become the video's: plain functions of arrays.

Those with a name in `POLICIES` can be asked for by `config.eval.aggregation`. Of the winners of the
Deepfake Detection Challenge (DFDC, 2020) they follow the published code: confident_vote Selim
Seferbekov's, sharpened_mean NTechLab's, groups_of_five and face_extremes Eighteen Years Old's,
clipped_face_mean The Medics'. `blended`, `trusted` and `family_blend` make the score of several
networks' scores of a video.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

SCORE_WITHOUT_FACE = 0.5
"""Of a video in which no face could be used."""
CONFIDENT_FAKE, CONFIDENT_REAL = 0.8, 0.2

Policy = Callable[[np.ndarray, np.ndarray, int], float]
"""Scores, float64 [n] with n > 0, in the order of faces and of each face's frames; the face that
each is of, [n]; and k of "top_k_mean"."""


def confident_vote(scores: np.ndarray) -> float:
    """Lets confident frames speak for the video, where there are enough of them: [n] -> score.

    The mean of the frames over 0.8 if they are more than 2/5 of the frames and more than 11; else
    the mean of the frames under 0.2 if they are more than 9/10; else the mean of all.
    """
    fakes, reals = scores[scores > CONFIDENT_FAKE], scores[scores < CONFIDENT_REAL]
    if 5 * len(fakes) > 2 * len(scores) and len(fakes) > 11:
        return float(fakes.mean())
    if 10 * len(reals) > 9 * len(scores):
        return float(reals.mean())
    return float(scores.mean())


def sharpened_mean(scores: np.ndarray) -> float:
    """Scores driven apart, and weighted by how far they were from a half: [n] -> score.

    With δ = p − ½ it is the mean of clip(½ + sign(δ)·|δ|^0.65, 0.01, 0.99) with weights |δ| + 1e-4.
    """
    delta = scores - 0.5
    sharp = np.clip(0.5 + np.sign(delta) * np.abs(delta) ** 0.65, 0.01, 0.99)
    return float(np.average(sharp, weights=np.abs(delta) + 1e-4))


def face_means(scores: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """The mean of each face, by number of the face: [n], [n] -> [F]."""
    _, face = np.unique(faces, return_inverse=True)
    return np.bincount(face.reshape(-1), scores) / np.bincount(face.reshape(-1))


def extremes(scores: np.ndarray) -> float:
    """Of a video's faces the one that stands out: [F] -> score.

    The highest if it is over 0.9, or if all are over 0.6; the lowest if all are under 0.4; else the
    mean.
    """
    if scores.max() > 0.9 or scores.min() > 0.6:
        return float(scores.max())
    return float(scores.min() if scores.max() < 0.4 else scores.mean())


def face_extremes(scores: np.ndarray, faces: np.ndarray) -> float:
    """`extremes` of the means of each face: [n], [n] -> score."""
    return extremes(face_means(scores, faces))


def group_scores(scores: np.ndarray, size: int = 5, most: int = 35) -> np.ndarray:
    """P(fake) of groups of frames that follow each other: [n] -> [g], in order.

    At most `most` frames are taken, evenly; what is left over of the last group is dropped, unless
    it is the only one. Log odds are averaged within a group, which is the softmax of averaged
    logits; scores count as at least 1e-12 from 0 and 1.
    """
    taken = scores[:: -(-len(scores) // most)]
    whole = len(taken) // size * size
    p = np.clip(taken[:whole] if whole else taken, 1e-12, 1 - 1e-12)
    odds = np.log(p) - np.log1p(-p)
    return np.asarray(1 / (1 + np.exp(-odds.reshape(-1, size if whole else len(p)).mean(axis=1))))


def groups_of_five(scores: np.ndarray) -> float:
    """Lets the groups of five frames vote, as of one face: [n] -> score.

    The mean of the groups over 0.85 if they are more than 7/10; else of those under 0.15 if they
    are; else of all.
    """
    groups = group_scores(scores)
    return float(groups[speakers(groups, 0.15, 0.85)].mean())


def speakers(scores: np.ndarray, low: float, high: float) -> np.ndarray:
    """Which scores speak for all: those over `high`, or under `low`, if they are more than 7/10.

    Else all of them: [n] -> bool [n].
    """
    for sure in (scores > high, scores < low):
        if 10 * np.count_nonzero(sure) > 7 * len(scores):
            return sure
    return np.ones(len(scores), bool)


def face_groups(scores: np.ndarray, faces: np.ndarray) -> float:
    """`extremes` of what the groups of five of each face say: [n], [n] -> score."""
    return extremes(np.array([groups_of_five(scores[faces == face]) for face in np.unique(faces)]))


def drawn_in(score: float) -> float:
    """A score from 0.98 or up to 0.02, 0.96 times as far from a half; any other as it is."""
    return 0.5 + 0.96 * (score - 0.5) if score >= 0.98 or score <= 0.02 else score


def clipped_face_mean(scores: np.ndarray, faces: np.ndarray) -> float:
    """The mean of the means of each face, at least 0.001 from 0 and 1: [n], [n] -> score."""
    return float(np.clip(face_means(scores, faces).mean(), 0.001, 0.999))


# Sums are of ascending scores where frames have no order, whatever the order of the rows.
POLICIES: dict[str, Policy] = {
    "mean": lambda scores, faces, k: np.sort(scores).mean(),
    "max": lambda scores, faces, k: scores.max(),
    "median": lambda scores, faces, k: np.median(scores),
    "top_k_mean": lambda scores, faces, k: np.sort(scores)[-k:].mean(),
    "confident_vote": lambda scores, faces, k: confident_vote(np.sort(scores)),
    "sharpened_mean": lambda scores, faces, k: sharpened_mean(np.sort(scores)),
    "groups_of_five": lambda scores, faces, k: face_groups(scores, faces),
    "groups_of_five_drawn_in": lambda scores, faces, k: drawn_in(face_groups(scores, faces)),
    "face_extremes": lambda scores, faces, k: face_extremes(scores, faces),
    "clipped_face_mean": lambda scores, faces, k: clipped_face_mean(scores, faces),
}
"""By name of `config.eval.aggregation`."""

BY_FACE = ("groups_of_five", "groups_of_five_drawn_in", "face_extremes", "clipped_face_mean")
"""Those that need to know of each score whose face it is, and of which frame."""


def video_score(
    policy: str, scores: np.ndarray, faces: np.ndarray | None = None, *, top_k: int = 10
) -> float:
    """The score of one video.

    Args:
      policy: one of `POLICIES`.
      scores: P(fake) of its faces, [n], in the order of faces and of each face's frames.
      faces: the number of each's face, [n]; None where there is one.
      top_k: of "top_k_mean".

    Returns:
      P(fake); 0.5 where n is 0.

    Raises:
      ValueError: there is no such policy; the message lists those there are.
    """
    if policy not in POLICIES:
        raise ValueError(f"video aggregation is {policy!r}, wanted one of {', '.join(POLICIES)}")
    scores = np.asarray(scores, np.float64)
    if not len(scores):
        return SCORE_WITHOUT_FACE
    numbers = np.zeros(len(scores), np.int64) if faces is None else np.asarray(faces)
    return float(POLICIES[policy](scores, numbers, top_k))


def blended(scores: np.ndarray, weights: np.ndarray) -> float:
    """The weighted mean of several networks' scores of a video: [M], [M] -> score.

    A network without a score, NaN, is left out; where none has one it is 0.5.
    """
    there = ~np.isnan(scores)
    if not there.any():
        return SCORE_WITHOUT_FACE
    return float(np.average(scores[there], weights=weights[there]))


def trusted(scores: np.ndarray, weights: np.ndarray) -> float | None:
    """`blended`, of those that agree where most do: [M], [M] -> score; None where none has one.

    More than 7/10 over 0.8, or under 0.2, speak for all.
    """
    there = ~np.isnan(scores)
    scores, weights = scores[there], weights[there]
    if not len(scores):
        return None
    sure = speakers(scores, 0.2, 0.8)
    return blended(scores[sure], weights[sure])


def family_blend(
    scores: np.ndarray,
    weights: np.ndarray,
    families: Sequence[str],
    shares: Mapping[str, float],
) -> float:
    """Eighteen Years Old's ensemble: `trusted` within each family, and a weighted mean of these.

    Args:
      scores: of the networks, [M]; NaN where one has none.
      weights: within their families, [M].
      families: of each network, M names.
      shares: of the families; one without a score is left out.

    Returns:
      P(fake); 0.5 where no network has a score.
    """
    own = np.asarray(families)
    found = {name: trusted(scores[own == name], weights[own == name]) for name in shares}
    return blended(
        np.array([np.nan if score is None else score for score in found.values()]),
        np.array(list(shares.values())),
    )
