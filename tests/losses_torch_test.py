"""Distillation losses against plain PyTorch, values and gradients, where installed."""

import jax
import numpy as np
import pytest

from ddjax.losses import dist, dkd, lskd, nkd


def _dkd(torch, student, teacher, labels, temperature=4.0, alpha=1.0, beta=8.0):
    functional = torch.nn.functional
    mask = functional.one_hot(labels, student.shape[1]).to(student.dtype)

    def pair(logits):
        probs = functional.softmax(logits / temperature, dim=1)
        return torch.stack([(probs * mask).sum(1), (probs * (1 - mask)).sum(1)], 1)

    def others(logits):
        return functional.log_softmax(logits / temperature - 1000 * mask, dim=1)

    scale = temperature**2 / len(student)
    tckd = functional.kl_div(pair(student).log(), pair(teacher), reduction="sum")
    nckd = functional.kl_div(others(student), others(teacher).exp(), reduction="sum")
    return scale * (alpha * tckd + beta * nckd)


def _nkd(torch, student, teacher, labels, gamma=1.5):
    functional = torch.nn.functional
    keep = functional.one_hot(labels, student.shape[1]) == 0

    def others(logits):
        kept = logits[keep].reshape(len(logits), -1)
        return functional.log_softmax(kept, dim=1)

    own, teacher_own = (
        functional.log_softmax(z, dim=1)[~keep] for z in (student, teacher)
    )
    target_part = -(teacher_own.exp() * own).mean()
    others_part = -(others(teacher).exp() * others(student)).sum(1).mean()
    return target_part + gamma * others_part


def _lskd(torch, student, teacher, labels, temperature=2.0):
    functional = torch.nn.functional

    def log_probs(logits):
        mean = logits.mean(dim=1, keepdim=True)
        std = logits.std(dim=1, keepdim=True)
        return functional.log_softmax((logits - mean) / (1e-7 + std) / temperature, 1)

    divergence = functional.kl_div(
        log_probs(student), log_probs(teacher).exp(), reduction="batchmean"
    )
    return temperature**2 * divergence


def _dist(torch, student, teacher, labels, temperature=4.0, beta=2.0, gamma=2.0):
    student, teacher = (
        torch.softmax(z / temperature, dim=1) for z in (student, teacher)
    )

    def rows(a, b):
        a, b = a - a.mean(1, keepdim=True), b - b.mean(1, keepdim=True)
        return 1 - torch.nn.functional.cosine_similarity(a, b, dim=1).mean()

    loss = beta * rows(student, teacher) + gamma * rows(student.T, teacher.T)
    return temperature**2 * loss


@pytest.mark.parametrize(
    ("loss", "reference", "labelled"),
    [(dkd, _dkd, True), (nkd, _nkd, True), (lskd, _lskd, False), (dist, _dist, False)],
    ids=["dkd", "nkd", "lskd", "dist"],
)
@pytest.mark.parametrize("seed", range(3))
def test_batch_mean_and_gradient_equal_torch(loss, reference, labelled, seed):
    torch = pytest.importorskip("torch")
    generator = np.random.default_rng(seed)
    student, teacher = generator.normal(size=(2, 6, 7)).astype(np.float32) * 3
    labels = generator.integers(0, 7, 6)

    def mean(logits):
        return loss(logits, teacher, *([labels] if labelled else [])).mean()

    value, gradient = jax.jit(jax.value_and_grad(mean))(student)
    # Double precision on the other side leaves our rounding alone.
    leaf = torch.tensor(student, dtype=torch.float64, requires_grad=True)
    expected = reference(
        torch, leaf, torch.tensor(teacher).double(), torch.tensor(labels)
    )
    expected.backward()
    np.testing.assert_allclose(value, expected.item(), rtol=1e-5)
    np.testing.assert_allclose(gradient, leaf.grad.numpy(), rtol=1e-4, atol=1e-6)
