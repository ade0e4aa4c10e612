"""The arithmetic the steps share: softmax, the norms, gelu, similarity, and a projection to few dimensions."""

from __future__ import annotations

import numpy as np

from ..weights import FloatArray


def softmax(x: FloatArray) -> FloatArray:
    """Positive numbers that add up to 1 along the last axis; the larger a score, the larger its share."""
    shifted = np.exp(x - x.max(axis=-1, keepdims=True))
    shares: FloatArray = shifted / shifted.sum(axis=-1, keepdims=True)
    return shares


def rms_norm(x: FloatArray, weight: FloatArray, epsilon: float) -> FloatArray:
    """Each vector brought to a root mean square of 1, then scaled place by place."""
    scaled: FloatArray = x / np.sqrt((x * x).mean(axis=-1, keepdims=True) + np.float32(epsilon)) * weight
    return scaled


def layer_norm(x: FloatArray, weight: FloatArray, bias: FloatArray, epsilon: float) -> FloatArray:
    """Each vector brought to a mean of 0 and a variance of 1, then scaled and shifted place by place."""
    centred = x - x.mean(axis=-1, keepdims=True)
    variance = (centred * centred).mean(axis=-1, keepdims=True)
    scaled: FloatArray = centred / np.sqrt(variance + np.float32(epsilon)) * weight + bias
    return scaled


def silu(x: FloatArray) -> FloatArray:
    """x, faded out below zero: x · 1 / (1 + e⁻ˣ). The argument is clipped where float32 would overflow."""
    faded: FloatArray = x / (1 + np.exp(np.minimum(-x, 88)))
    return faded


def gelu(x: FloatArray) -> FloatArray:
    """x times the share of a normal distribution below x. The error function is Abramowitz and Stegun's 7.1.26, right
    to 1.5e-7, since NumPy has none."""
    size = np.abs(x) / np.float32(np.sqrt(2))
    t = 1 / (1 + np.float32(0.3275911) * size)
    series = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
    erf = np.sign(x) * (1 - series * np.exp(-size * size))
    shaped: FloatArray = (x * (1 + erf) / 2).astype(np.float32)
    return shaped


def unit(x: FloatArray) -> FloatArray:
    """Each vector at length 1, so that a dot product of two is the cosine of their angle. Zero stays zero."""
    length = np.linalg.norm(x, axis=-1, keepdims=True)
    scaled: FloatArray = x / np.maximum(length, np.float32(1e-12))
    return scaled


def project(x: FloatArray, dimensions: int) -> FloatArray:
    """The rows of `x` [n, width] as points [n, dimensions] on the axes along which they differ most (principal
    components). The sign of an axis is chosen so that the farthest point lies on its positive side."""
    exact = x.astype(np.float64)
    centred = exact - exact.mean(axis=0)
    wide = x.shape[1] > len(x)  # the axes come from the smaller of two tables that hold the same of them
    sizes, axes = np.linalg.eigh(centred @ centred.T if wide else centred.T @ centred)
    largest = np.argsort(-sizes)[:dimensions]
    found = axes[:, largest] * np.sqrt(np.maximum(sizes[largest], 0)) if wide else centred @ axes[:, largest]
    points = np.zeros((len(x), dimensions), dtype=np.float32)
    points[:, : found.shape[1]] = found
    farthest = points[np.abs(points).argmax(axis=0), range(dimensions)]
    flipped: FloatArray = points * np.where(farthest < 0, np.float32(-1), np.float32(1))
    return flipped
