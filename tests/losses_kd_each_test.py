"""Each distillation loss: values by hand, what sets it apart, and plain PyTorch's."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from losses_reference import classes, close, logits

from ddjax import losses
from ddjax.errors import InputError

# Compiled as a whole, which takes less time than to compile each operation.
crld, dist, dkd, lskd, mse_gt, nkd = (
    jax.jit(getattr(losses, name))
    for name in ("crld", "dist", "dkd", "lskd", "mse_gt", "nkd")
)
kl_divergence = jax.jit(losses.kl_divergence)

LOG_2, LOG_3 = math.log(2), math.log(3)


def test_mse_gt_hand_worked():
    student, teacher = jnp.array([0.0, LOG_3]), jnp.array([2.0, LOG_3 + 4])
    close(mse_gt(student, teacher, 1, gt_weight=0.0), 10)
    close(mse_gt(student, teacher, 1, gt_weight=2.0), 10 + 2 * math.log(4 / 3))
    assert mse_gt(student, student, 1) > 0


# Softmax 1/2, 1/8, 3/8; without the first class 1/4, 3/4.
TEACHER = jnp.log(jnp.array([4.0, 1.0, 3.0]))


def test_dkd_hand_worked():
    student = jnp.zeros(3)
    target = 0.5 * math.log(3 / 2) + 0.5 * math.log(3 / 4)
    others = 0.25 * math.log(1 / 2) + 0.75 * math.log(3 / 2)
    for teacher, t in ((TEACHER, 1.0), (3 * TEACHER, 3.0)):
        close(dkd(student, teacher, 0, 1.0, 0.0, t), t**2 * target)
        close(dkd(student, teacher, 0, 0.0, 1.0, t), t**2 * others)
        close(dkd(student, teacher, 0, 3.0, 5.0, t), t**2 * (3 * target + 5 * others))


def test_nkd_hand_worked():
    student = jnp.zeros(3)
    close(nkd(student, TEACHER, 0), 0.5 * LOG_3 + 1.5 * LOG_2)
    # The temperature leaves the first term alone.
    close(nkd(student, TEACHER, 0, temperature=2.0), 0.5 * LOG_3 + 6 * LOG_2)


def test_lskd_hand_worked():
    # Two classes standardise to -+ sqrt(1/2), here on opposite sides.
    student, teacher = jnp.array([0.0, 10.0]), jnp.array([5.0, 1.0])
    for t in (1.0, 2.0):
        gap = math.sqrt(2) / t
        close(lskd(student, teacher, t), t**2 * gap * math.tanh(gap / 2))


def test_crld_hand_worked():
    t_weak, t_strong = jnp.log(jnp.array([1.0, 9.0])), jnp.zeros(2)
    s_weak, s_strong = jnp.zeros(2), jnp.log(jnp.array([1.0, 9.0]))
    forward = 0.1 * math.log(0.2) + 0.9 * math.log(1.8)  # (.1, .9) against (.5, .5)
    backward = 0.5 * math.log(5) + 0.5 * math.log(5 / 9)
    views = (s_weak, s_strong, t_weak, t_strong)
    for weak, strong in ((0.89, 0.49), (0.89, 0.51), (0.91, 0.49), (0.91, 0.51)):
        # Each view's student has the other view's teacher right.
        within = (forward + backward) * (weak < 0.9)
        close(crld(*views, 1.0, weak, strong), within)
        swapped = crld(s_strong, s_weak, t_weak, t_strong, 1.0, weak, strong, 2.0, 3.0)
        close(swapped, 3 * (forward + backward) * (strong < 0.5))
    # The confidence is taken at temperature 1, whatever the loss's.
    assert crld(*views, 8.0, 0.89, 1.0) > 0
    assert crld(*views, 0.5, 0.91, 1.0) == 0


def test_dist_hand_worked():
    student = jnp.array([[0.0, 2.0], [1.0, 0.0]])
    # The 1e-8 in the denominator shows by T**2 * beta * 1e-6.
    np.testing.assert_allclose(dist(student, student), np.zeros(2), atol=1e-4)
    # Two numbers correlate at -1 or 1.
    close(dist(student, -student, 3.0, 5.0, 2.0), np.full(2, 4 * (3 * 2 + 5 * 2)))
    # One row agrees, the other does not; a column of equal values correlates at 0.
    teacher = jnp.array([[0.0, 2.0], [0.0, 2.0]])
    close(dist(student, teacher, 3.0, 5.0, 1.0), [5.0, 3 * 2 + 5.0])


def test_mse_gt_is_linear_in_mixedclasses():
    student, teacher = logits(0, (4, 5)), logits(1, (4, 5))
    first, second = classes(0, 4), classes(1, 4)
    mixed = 0.75 * np.eye(5)[first] + 0.25 * np.eye(5)[second]
    found = mse_gt(student, teacher, mixed.astype(np.float32), 2.0)
    ends = [mse_gt(student, teacher, labels, 2.0) for labels in (first, second)]
    close(found, 0.75 * ends[0] + 0.25 * ends[1])


@pytest.mark.parametrize("loss", [dkd, nkd])
def test_mixed_labels_mean_their_largest_class(loss):
    student, teacher = logits(0, (3, 4)), logits(1, (3, 4))
    mixed = jnp.array([[0.3, 0, 0.7, 0], [0, 0.5, 0, 0.5], [0.25] * 4])
    expected = loss(student, teacher, jnp.array([2, 1, 0], jnp.uint8))
    close(loss(student, teacher, mixed), expected)


def test_dkd_weighted_by_the_teachers_doubt_is_kl_divergence():
    student, teacher, labels = logits(0), logits(1), classes(2)
    probs = jax.nn.softmax(teacher / 4.0)
    doubt = 1 - np.take_along_axis(np.asarray(probs), labels[..., None], -1)[..., 0]
    close(dkd(student, teacher, labels, 1.0, doubt), kl_divergence(student, teacher, 4))


def test_two_classes_leave_nothing_among_the_others():
    student, teacher, labels = logits(0, (4, 2)), logits(1, (4, 2)), classes(0, 4, 2)
    assert not dkd(student, teacher, labels, alpha=0.0).any()
    close(dkd(student, teacher, labels), kl_divergence(student, teacher, 4.0))
    only = nkd(student, teacher, labels, gamma=0.0)
    np.testing.assert_array_equal(nkd(student, teacher, labels), only)


def test_lskd_ignores_shift_and_scale():
    student, teacher = logits(0), logits(1)
    expected = lskd(student, teacher)
    close(lskd(7 * student - 3, teacher / 4 + 2), expected)
    close(lskd(teacher * 3 + 1, teacher), np.zeros((2, 4)))


def test_dist_follows_a_permutation_of_the_batch():
    student, teacher, order = logits(0, (6, 5)), logits(1, (6, 5)), classes(0, 6, 6)
    order = np.argsort(order)
    close(dist(student[order], teacher[order]), dist(student, teacher)[order])


def test_dist_of_one_example_has_no_columns():
    student, teacher = logits(0, (1, 5)), logits(1, (1, 5))
    alone = dist(student, teacher, 2.0, 3.0, 4.0)
    close(alone, dist(student, teacher, 2.0, 0.0, 4.0) + 3 * 16)
    gradient = jax.grad(lambda z: dist(z, teacher, 0.0, 3.0).sum())(student)
    assert not gradient.any()


def test_dist_is_pearsons_correlation():
    student, teacher = logits(0, (6, 5)), logits(1, (6, 5))
    a, b = np.asarray(jax.nn.softmax(student)), np.asarray(jax.nn.softmax(teacher))
    rows = [1 - np.corrcoef(x, y)[0, 1] for x, y in zip(a, b, strict=True)]
    columns = [1 - np.corrcoef(x, y)[0, 1] for x, y in zip(a.T, b.T, strict=True)]
    close(dist(student, teacher, 1.0, 0.0, 1.0), rows)
    close(dist(student, teacher, 0.0, 1.0, 1.0), np.full(6, np.mean(columns)))


def test_losses_refuse_a_single_number():
    zero = jnp.zeros(())
    for call in (
        lambda: mse_gt(zero, zero, 0),
        lambda: dkd(zero, zero, 0),
        lambda: lskd(zero, zero),
        lambda: crld(zero, zero, zero, zero),
    ):
        with pytest.raises(InputError, match=r"allowed is one shape \[..., C\]"):
            call()


def test_dist_refuses_a_single_example_without_batch_axis():
    with pytest.raises(InputError, match=r"allowed is \[..., B, C\]"):
        dist(jnp.zeros(3), jnp.zeros(3))


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
