"""How good are a model's answers, and can its confidence be trusted?

Accuracy, negative log-likelihood, two calibration errors, reliability tables, and the temperature that mends them.

Probabilities are p [n, k], a row per image and a column per class; labels y [n] are whole numbers from 0. Both are tensors
or NumPy arrays; half precision is computed with in float32. Confidence is a row's largest probability. All are of this data set, not estimates that a small one leaves unbiased: with few images in a
bin its accuracy is noise, and both calibration errors are above 0 for a model that is calibrated.
"""

import math

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, Shaped
from scipy.optimize import brentq
from torch import Tensor

BINS = 15  # Guo et al. 2017
SUM = 1e-4  # how far from 1 a row of probabilities may be: rounding of thousands of classes in float32
BELOW_ONE = 1 - 2**-24  # the largest float32 below 1
LARGEST = 100.0  # temperature, in units of the largest difference of two logits: no probability is 1 % off 1/k

Answers = Shaped[Tensor, "n k"] | Shaped[np.ndarray, "n k"]  # of floats
Labels = Shaped[Tensor, "n"] | Shaped[np.ndarray, "n"]  # of whole numbers


def score(logits: Answers, labels: Labels) -> dict[str, float]:
    """accuracy, loss (the NLL, from the logits, so that it is finite where a probability rounds to 0), ece and ace."""
    logits, labels = as_answers(logits, labels)
    probabilities = logits.softmax(-1)
    return {
        "accuracy": accuracy(logits, labels),
        "loss": F.cross_entropy(logits, labels).item(),
        "ece": ece(probabilities, labels),
        "ace": ace(probabilities, labels),
    }


def accuracy(answers: Answers, labels: Labels) -> float:
    """ACC: the share of images whose largest logit, or probability, is their label's."""
    answers, labels = as_answers(answers, labels)
    return (answers.argmax(-1) == labels).double().mean().item()


def nll(probabilities: Answers, labels: Labels) -> float:
    """NLL: mean −log p_y in nats; infinite where a label's probability is 0. `score` has it from logits, as `loss`."""
    probabilities, labels = as_probabilities(probabilities, labels)
    return -probabilities.gather(1, labels[:, None]).double().log().mean().item()


def ece(probabilities: Answers, labels: Labels, bins: int = BINS) -> float:
    """ECE, the expected calibration error of the top label: Σ_b (n_b/n)·|acc_b − conf_b| (Guo et al. 2017, eq. 3).

    Bins of equal width on [0, 1]: [0, 1/bins), …, [1 − 1/bins, 1]; acc_b is the share of a bin's images that are right,
    conf_b their mean confidence: of the label that is the most probable, also for two classes. Confidence 1, which a
    softmax reaches by rounding, belongs to the last bin.
    Raises ValueError for bins < 1, NaN, probabilities that do not sum to 1 and labels that are no classes.
    """
    counts, confidence, right = in_bins(probabilities, labels, bins)
    return ((right - confidence).abs().sum() / counts.sum()).item()


def ace(probabilities: Answers, labels: Labels, ranges: int = BINS) -> float:
    """ACE, the adaptive calibration error: (1/KR) Σ_k Σ_r |acc(r, k) − conf(r, k)| (Nixon et al. 2019).

    For each class k of K, the n probabilities p_k are sorted and cut into R ranges with equal numbers of images. acc(r, k)
    is the share of images in range r that have label k. conf(r, k) is the mean of p_k over the images in range r. No threshold: with one it is TACE.

    Where R does not divide n, or probabilities are equal, the paper is silent and its authors' code is followed: range r
    starts at the probability of rank round(r·n/R), equal probabilities are in one range, and a range weighs its share of
    the images, which is 1/R where all have the same number. So the order of the images does not matter. (By default that
    code leaves out probabilities that are exactly 0; here they count, for the paper's ACE has no threshold.)
    Raises ValueError for ranges < 1, NaN, probabilities that do not sum to 1 and labels that are no classes.
    """
    probabilities, labels = as_probabilities(probabilities, labels, ranges)
    n, classes = probabilities.shape
    by_class = probabilities.T.contiguous()  # [k, n]
    ranks = [min(round(r * n / ranges), n - 1) for r in range(1, ranges)]
    starts = by_class.sort().values[:, ranks].contiguous()  # [k, ranges − 1], of all but the first
    place = torch.searchsorted(starts, by_class, right=True)
    # n_r·(acc − conf) of a range is the sum of y − p, y being 1 for the label's class.
    gaps = -by_class.double()
    gaps[labels, torch.arange(n, device=gaps.device)] += 1
    sums = gaps.new_zeros(classes, ranges).scatter_add_(1, place, gaps)
    return sums.abs().sum().item() / (n * classes)


def reliability_table(probabilities: Answers, labels: Labels, bins: int = BINS) -> pd.DataFrame:
    """The bins of `ece`, a row each: bin (from 0), count, confidence and accuracy, means over its images.

    Means of an empty bin are NaN. Raises what `ece` does.
    """
    counts, confidence, right = (sums.cpu().numpy() for sums in in_bins(probabilities, labels, bins))
    with np.errstate(invalid="ignore"):
        means = {"confidence": confidence / counts, "accuracy": right / counts}
    return pd.DataFrame({"bin": range(bins), **means, "count": counts})


def in_bins(
    probabilities: Answers, labels: Labels, bins: int
) -> tuple[Int[Tensor, "bins"], Float[Tensor, "bins"], Float[Tensor, "bins"]]:
    """Of each bin: its images, the sum of their confidences, and how many of them are right."""
    probabilities, labels = as_probabilities(probabilities, labels, bins)
    # Edges and confidences in float32, so that 1, which would be in a bin of its own, is put into the last.
    confidence, predicted = probabilities.float().clamp(0, BELOW_ONE).max(-1)
    place = torch.bucketize(confidence, torch.linspace(0, 1, bins + 1).to(confidence), right=True) - 1

    def summed(values: Tensor) -> Tensor:
        return values.new_zeros(bins, dtype=torch.float64).index_add_(0, place, values.double())

    return place.bincount(minlength=bins), summed(confidence), summed(predicted == labels)


def fit_temperature(logits: Answers, labels: Labels) -> float:
    """The T > 0 for which softmax(z/T) has the lowest NLL (Guo et al. 2017, sec. 4.2); fit it on validation data.

    The NLL is convex in s = 1/T, with the derivative mean (Σ_k p_k·z_k − z_y), p = softmax(s·z): its zero is the
    minimum, which is found to ten digits, whatever the logits' scale (cosines, or a hundred times as much). Where every
    answer is right, or there is one class, the likelihood does not fall as T falls: such images do not tell how sure is
    too sure, and T is 1 (129 of them without an error once led to T = 0.01, and on test images the NLL went from 0.07 to
    5.4). Logits that are worse than none want T infinite, and get 100 times the largest difference of two of an image's
    logits, one the label's. Predictions do not change. Raises ValueError without images, for NaN and labels that are no
    classes.
    """
    logits, labels = as_answers(logits, labels)
    z = logits.double()
    z = z - z.gather(1, labels[:, None])
    if z.max() <= 0:
        return 1.0
    scale = z.abs().max().item()
    z = z / scale

    def slope(s: float) -> float:
        return ((s * z).softmax(-1) * z).sum(-1).mean().item()

    if slope(1 / LARGEST) >= 0:
        return LARGEST * scale
    sure = 1.0
    while slope(sure) <= 0:  # which ends, for some answer is wrong
        sure *= 10
    return scale / brentq(slope, 1 / LARGEST, sure, xtol=1e-300, rtol=1e-12)


def as_answers(answers: Answers, labels: Labels) -> tuple[Float[Tensor, "n k"], Int[Tensor, "n"]]:
    """As tensors on one device, floats of at least 32 bits and int64.

    Raises ValueError or TypeError unless there is a row of finite numbers per image, and a class for each label.
    """
    answers, labels = as_tensor("answers", answers), as_tensor("labels", labels)
    if not answers.is_floating_point():
        raise TypeError(f"answers must be logits or probabilities in floats, not {answers.dtype}")
    if labels.is_floating_point() or labels.is_complex():
        raise TypeError(f"labels must be whole numbers, not {labels.dtype}")
    if answers.ndim != 2 or not len(answers) or labels.shape != answers.shape[:1]:
        raise ValueError(
            f"answers must be [images, classes] with a label per image, not {[*answers.shape]} and {[*labels.shape]}"
        )
    if not torch.isfinite(answers).all():
        raise ValueError("answers must be finite, and there is NaN or infinity among them")
    labels = labels.to(answers.device, torch.long)
    least, largest = labels.min().item(), labels.max().item()
    if least < 0 or largest >= answers.shape[1]:
        raise ValueError(
            f"labels must be from 0 to {answers.shape[1] - 1}, for there are {answers.shape[1]} classes, "
            f"not {least if least < 0 else largest}"
        )
    return (answers.float() if answers.element_size() < 4 else answers), labels


def as_probabilities(
    probabilities: Answers, labels: Labels, bins: int = BINS
) -> tuple[Float[Tensor, "n k"], Int[Tensor, "n"]]:
    """What `as_answers` gives. Raises what it does, and ValueError for bins < 1 and unless rows sum to 1, none below 0."""
    if isinstance(bins, bool) or not isinstance(bins, int) or bins < 1:
        raise ValueError(f"the number of bins must be a whole number of at least 1, not {bins!r}")
    found, labels = as_answers(probabilities, labels)
    # In half precision a row's sum is off by as much as its largest number is.
    far = max(SUM, torch.finfo(as_tensor("probabilities", probabilities).dtype).eps)
    least = found.min().item()
    if least < -SUM:
        raise ValueError(f"probabilities must be from 0 to 1, not {least:g}: give softmax(logits), not logits")
    sums = found.sum(-1, dtype=torch.float64)
    worst = sums[(sums - 1).abs().argmax()].item()
    if not math.isclose(worst, 1, rel_tol=0, abs_tol=far):
        raise ValueError(f"the probabilities of an image must sum to 1, not to {worst:g}: give softmax(logits)")
    return found, labels


def as_tensor(title: str, values: object) -> Tensor:
    """Raises TypeError for what is neither a tensor nor an array of numbers."""
    if isinstance(values, Tensor):
        return values.detach()
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "fiub" or values.itemsize > 8:
        what = f"an array of {values.dtype}" if isinstance(values, np.ndarray) else type(values).__name__
        raise TypeError(f"{title} must be a tensor or a NumPy array of numbers, not {what}")
    return torch.from_numpy(values.astype(values.dtype.newbyteorder("="), order="C"))
