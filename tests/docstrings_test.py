"""What docstrings say of others' code: where it can be found, and what can be computed.

The references are written from the formulas, in NumPy; nothing of theirs is run.
"""

import ast
import inspect
import io
import pathlib
import re
import tokenize

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from scipy.optimize import nnls

from ddjax import distill, losses, scores, select
from ddjax.data.augment import destination
from ddjax.data.images import decode, decode_square
from ddjax.scores import LastLayer
from ddjax.select import craig, glister, gradmatch

ROOT = pathlib.Path(__file__).parents[1]
FILES = sorted([*ROOT.glob("ddjax/**/*.py"), *ROOT.glob("configs/**/*.py")])
# What no reader of this repository can open.
HIDDEN = re.compile(
    r"methods' facts|facts of the methods|methods\.md|users\.md|published\.README"
    r"|\bshared/|reference/|\bsection\s+\d+(\.\d+)?\s+of\s+the\s+(methods|facts|notes)"
    r"|/work\b|docs/reference|our notes",
    re.IGNORECASE,
)


def prose(path):
    """The comments and docstrings of a file, each on one line, with its line number."""
    text = path.read_text()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef)
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, kinds) and ast.get_docstring(node):
            yield node.body[0].lineno, " ".join(ast.get_docstring(node).split())


def test_nothing_is_cited_that_a_reader_cannot_find():
    found = [
        f"{path.relative_to(ROOT)}:{line}: {match.group()}"
        for path in FILES
        for line, text in prose(path)
        if (match := HIDDEN.search(text))
    ]
    assert not found


@pytest.mark.parametrize(
    "text",
    [
        "Source: section 1.3 of the methods' facts; VILA-Lab/SRe2L",
        "# first thing in its augmentation (methods.md, 3.4)",
        "see shared/reference for the formula",
    ],
)
def test_the_pattern_finds_what_was_cited_once(text):
    assert HIDDEN.search(text)
    assert not HIDDEN.search("Source: arXiv 1804.00001, section 4.1, for the facts")


# Public names that follow nobody's code or paper, and why.
OWN = {
    "losses.cross_entropy": "the textbook's",
    "losses.LOSSES": "a table",
    "losses.Loss": "a declaration",
    "distill.random_crops": "ours",
    "scores.Trace": "a record",
    "select.DEFAULT": "a name",
    "select.METHODS": "a table",
    "select.Inputs": "a record",
    "select.Selection": "a record",
    "select.best_window": "takes the largest accuracy",
    "select.imported": "reads what others have chosen",
    "select.random": "uniform, without replacement",
    "select.options": "a table",
    "select.top": "sorts",
    "select.window": "takes consecutive ranks",
    "scores.Inputs": "a record",
    "scores.REQUIREMENTS": "a table",
    "scores.SCORES": "a table",
    "scores.Score": "a record",
    "scores.options_of": "finds a record",
    "scores.snapshots_needed": "counts",
}
PUBLIC = {
    f"{package.__name__.split('.')[-1]}.{name}": getattr(package, name)
    for package in (losses, scores, select)
    for name in package.__all__
} | {f"distill.{name}": method.function for name, method in distill.METHODS.items()}


def test_every_published_method_has_a_source():
    for name, found in PUBLIC.items():
        # A class may say it where it implements the method.
        document = inspect.getsource(found) if callable(found) else ""
        assert ("Source: " in document) != (name in OWN), name


def test_every_own_helper_is_still_there():
    assert set(OWN) <= set(PUBLIC)


# --- DIST: whose constant ---------------------------------------------------------


def dist_reference(student_BC, teacher_BC, constant, beta=2.0, gamma=2.0, t=4.0):
    """hunto/DIST_KD's formula with its 1e-8, or G-VBSM's and EDC's 1e-5."""

    def softmax(logits_BC):
        powers_BC = np.exp(logits_BC - logits_BC.max(1, keepdims=True))
        return powers_BC / powers_BC.sum(1, keepdims=True)

    def correlation(a, b):
        a, b = (x - x.mean(1, keepdims=True) for x in (a, b))
        norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
        return np.mean(np.sum(a * b, axis=1) / (norms + constant))

    student, teacher = softmax(student_BC / t), softmax(teacher_BC / t)
    rows, columns = correlation(student, teacher), correlation(student.T, teacher.T)
    return t**2 * (beta * (1 - rows) + gamma * (1 - columns))


def test_dist_has_its_authors_constant_and_the_other_one_is_as_far_off_as_said():
    draws = np.random.default_rng(0)
    teacher = 1.5 * draws.standard_normal((64, 1000))
    student = teacher + 1.5 * draws.standard_normal((64, 1000))
    found = jnp.mean(losses.dist(jnp.asarray(student), jnp.asarray(teacher)))
    ours, theirs = (dist_reference(student, teacher, c) for c in (1e-8, 1e-5))
    np.testing.assert_allclose(found, ours, rtol=1e-4)
    said = losses.dist.__doc__
    assert f"the loss {theirs:.1f} instead of {ours:.1f}." in " ".join(said.split())


# --- Patch shuffle: the remainder -------------------------------------------------


def rded_strips(size, factor):
    """Where RDED's strips begin and end: strip i * w is the last if i * w == F - 1."""
    width = size // factor
    starts = np.arange(factor) * width
    return [(a, size if a == factor - 1 else a + width) for a in starts]


def test_patch_shuffle_keeps_the_remainder_that_rded_leaves_out():
    for size, factor in ((33, 2), (29, 4), (32, 2), (3, 2)):
        moved = np.sort(destination(jnp.arange(factor)[::-1], size))
        np.testing.assert_array_equal(moved, np.arange(size))
    lost = [s - sum(b - a for a, b in rded_strips(s, 2)) for s in (33, 29, 32, 224, 3)]
    assert lost == [1, 1, 0, 0, 0]  # strips of one pixel are the exception


# --- Gradients of a mean loss -----------------------------------------------------


def last_layer(count, seed, classes=3, dims=4):
    draws = np.random.default_rng(seed)
    labels = np.zeros(count, np.int64)
    logits = 2 * draws.standard_normal((count, classes))
    return LastLayer.from_logits(logits, labels, draws.standard_normal((count, dims)))


def divided(gradients, batch):
    """DeepCore's: each gradient divided by how many examples its batch has."""
    count = gradients.num_examples
    sizes = [min(batch, count - start) for start in range(0, count, batch)]
    return LastLayer(
        gradients.errors / np.repeat(sizes, sizes)[:, None], gradients.features
    )


def rows_of(gradients):
    return np.einsum("nc,nd->ndc", gradients.errors, gradients.inputs).reshape(
        gradients.num_examples, -1
    )


def omp(rows, budget, ridge, ridge_first):
    """The order of a matching pursuit with w >= 0 in every step, as here."""
    target, chosen, residual = rows.mean(0), [], rows.mean(0)
    while len(chosen) < budget:
        gains = rows @ residual
        gains[chosen] = -np.inf
        chosen.append(int(np.argmax(gains)))
        picked = rows[chosen].T
        added = 0.0 if len(chosen) == 1 and not ridge_first else ridge
        stacked = np.concatenate([picked, np.sqrt(added) * np.eye(len(chosen))])
        weights = nnls(stacked, np.concatenate([target, np.zeros(len(chosen))]))[0]
        residual = target - picked @ weights
    return chosen


def test_a_penalty_of_1_on_gradients_of_a_mean_loss_is_the_squared_batch():
    batch, budget, differ = 16, 8, 0
    for seed in range(5):
        gradients = last_layer(2 * batch, seed)
        labels = np.zeros(2 * batch, np.int64)
        theirs = np.sort(omp(rows_of(divided(gradients, batch)), budget, 1.0, True))
        squared = gradmatch(gradients, labels, budget, penalty=batch**2)
        np.testing.assert_array_equal(squared, theirs)
        one = gradmatch(gradients, labels, budget, penalty=1.0)
        differ += not np.array_equal(one, theirs)
    assert differ >= 3


def test_the_first_step_of_gradmatch_has_the_ridge():
    # b = (3.5, 1.2) / 3; the first pick is g_0, as <g_n, b> = 2.33, 1.83, 0.4.
    # With the ridge w = 2.33 / (4 + 4), b - w g_0 = (0.58, 0.4), gains 0.96 and 0.4.
    # Without w = 2.33 / 4, b - w g_0 = (0, 0.4), gains 0.08 and 0.4.
    rows = np.array([[2.0, 0.0], [1.5, 0.2], [0.0, 1.0]])
    gradients = LastLayer(rows, np.zeros((3, 1)))  # of the bias alone
    labels = np.zeros(3, np.int64)
    np.testing.assert_array_equal(gradmatch(gradients, labels, 2, penalty=4.0), [0, 1])
    assert omp(rows, 2, 4.0, ridge_first=True) == [0, 1]
    assert omp(rows, 2, 4.0, ridge_first=False) == [0, 2]
    np.testing.assert_array_equal(gradmatch(gradients, labels, 2, penalty=0.0), [0, 2])


def choose_by(method, gradients, budget):
    labels = np.zeros(gradients.num_examples, np.int64)
    if method is not glister:
        return method(gradients, labels, budget)
    held_out = last_layer(20, seed=9)
    return glister(gradients, labels, budget, held_out, np.zeros(20, np.int64), 0.0)


@pytest.mark.parametrize("method", [craig, glister])
def test_a_short_last_batch_is_chosen_more_often_where_gradients_are_divided(method):
    count, batch, budget = 68, 64, 12  # the last batch has 4 examples
    last = np.arange(batch, count)
    ours = theirs = 0
    for seed in range(5):
        gradients = last_layer(count, seed)
        found = choose_by(method, gradients, budget)
        ours += np.isin(last, found).sum()
        shorter = choose_by(method, divided(gradients, batch), budget)
        theirs += np.isin(last, shorter).sum()
        # In one batch all are divided alike, which changes nothing.
        whole = choose_by(method, divided(gradients, count), budget)
        np.testing.assert_array_equal(whole, found)
    assert theirs > ours + 5


def test_a_short_last_batch_has_longer_norms_where_gradients_are_divided():
    gradients = last_layer(68, 0)
    norms = gradients.norms()
    ratio = divided(gradients, 64).norms() / norms
    np.testing.assert_allclose(ratio, [1 / 64] * 64 + [1 / 4] * 4, rtol=1e-5)


# --- A streamed image beside one in memory ----------------------------------------


def gap(pixels, mode, channels):
    """The largest difference of a JPEG's pixels between a stream and memory."""
    file = io.BytesIO()
    Image.fromarray(pixels, mode).save(file, "JPEG", quality=90)
    stream = decode_square(file.getvalue(), 48, channels, "").astype(int)
    return np.abs(stream - decode(file, channels, "")).max()


def noise(channels, seed, low=0, high=256):
    shape = (48, 48, channels)
    draws = np.random.default_rng(seed)
    return draws.integers(low, high, shape, dtype=np.uint8)


def test_a_stream_differs_from_memory_where_jpeg_says():
    for seed in range(4):
        for channels in (1, 3):
            assert gap(noise(4, seed), "CMYK", channels) in (1, 2)
        assert gap(noise(3, seed), "RGB", 3) == 0
        # Colours that the encoder moves beyond black and white, and that it does not.
        assert 0 < gap(noise(3, seed), "RGB", 1) <= 15
        assert gap(noise(3, seed, 120, 136), "RGB", 1) == 0
