"""Scores and selections: seconds and memory at full size, growth, and plain NumPy.

    python benchmarks/selection.py [--part scores large growth plain] [--shrink 1]

Four tables in Markdown:

- scores: every score of a trace of 60 snapshots of ImageNet's 1,281,167 examples;
- large: k-centre and facility location at the sizes that are wanted of them;
- growth: seconds of every selection as the examples double, and how they grow;
- plain: the same results from straightforward NumPy or scikit-learn, and the ratio.

Times are the best of two calls, of `scores` and `large` those of one call. Their peaks
are the resident set of a process that does nothing else: the interpreter, the input and
the work. `--shrink` divides the numbers of examples, for a quick estimate.
"""

import argparse
import json
import resource
import subprocess
import sys
import time

import jax
import numpy as np

from ddjax import scores, select

SNAPSHOTS, IMAGENET = 60, 1_281_167
FIELDS = {
    "el2n": ["el2n"],
    "el2n_sl": ["el2n_sl"],
    "forgetting": ["correct"],
    "aum": ["margin"],
    "entropy": ["entropy"],
    "least_confidence": ["least_confidence"],
    "margin": ["least_confidence", "second_prob"],
    "dyn_unc": ["true_prob"],
    "tdds": ["step_kl"],
    "dual": ["true_prob"],
    "cad": ["true_prob"],
}
# Examples, features, classes, budget of a class.
LARGE = {
    "k_center": (100_000, 512, 1, 1000),
    "facility_location": (50_000, 512, 100, 50),
    "facility_location, stochastic": (50_000, 512, 100, 50),
    "facility_location, one class": (20_000, 512, 1, 200),
    "facility_location, one class, stochastic": (20_000, 512, 1, 200),
}
GROWTH = (5_000, 10_000, 20_000), 128, 10, 50


def make_trace(fields, examples):
    """Returns a trace of random numbers; its fields are the same ones."""
    rng = np.random.default_rng(0)
    values_SN = np.empty((SNAPSHOTS, examples), np.float32)
    for values_N in values_SN:
        rng.random(out=values_N, dtype=np.float32)
    return scores.Trace(
        **{
            field: values_SN < 0.5 if field == "correct" else values_SN
            for field in fields
        }
    )


def make_features(examples, dims, classes):
    """Returns (features [N,D] float32, labels [N] int32), as of a last hidden layer."""
    rng = np.random.default_rng(0)
    labels = np.arange(examples, dtype=np.int32) % classes
    factors = rng.standard_normal((examples, 32), np.float32)
    factors += rng.standard_normal((classes, 32), np.float32)[labels]
    features = factors @ rng.standard_normal((32, dims), np.float32)
    return np.maximum(features, 0.0, out=features), labels


def make_gradients(examples, dims, classes):
    """Returns (gradients of the last layer, labels)."""
    features, labels = make_features(examples, dims, classes)
    logits = np.random.default_rng(1).normal(size=(examples, classes))
    logits[np.arange(examples), labels] += 2.0
    return scores.LastLayer.from_logits(logits, labels, features), labels


def seconds_of(function, calls=2):
    """Returns the best seconds and the result."""
    times = []
    for _ in range(calls):
        start = time.perf_counter()
        result = function()
        times.append(time.perf_counter() - start)
    return min(times), result


def run_large(name, features, labels, per_class):
    if name == "k_center":
        return select.k_center(jax.random.key(0), features, labels, per_class)
    key = jax.random.key(0) if name.endswith("stochastic") else None
    return select.facility_location(features, labels, per_class, key=key)


def measure(name, shrink):
    """Prints seconds and gigabytes of one score or one large selection."""
    if name in LARGE:
        examples, dims, classes, per_class = LARGE[name]
        features, labels = make_features(examples // shrink, dims, classes)
        per_class = max(1, per_class // shrink)
        # JAX's first random numbers take a second, whatever the size.
        run_large(name, features[:100], labels[:100], 1)

        def work():
            return run_large(name, features, labels, per_class)
    else:
        trace = make_trace(FIELDS[name], IMAGENET // shrink)

        def work():
            return scores.SCORES[name].function(trace)

    seconds, _ = seconds_of(work, calls=1)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(json.dumps([seconds, peak]))


def measured(name, shrink):
    """Seconds and gigabytes of `name`, from a process of its own."""
    command = [sys.executable, __file__, "--measure", name, "--shrink", str(shrink)]
    return json.loads(subprocess.run(command, check=True, stdout=-1).stdout)


def table(title, columns, rows):
    """Prints a table of Markdown, row after row as they come."""
    print(f"\n{title}\n\n| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    for row in rows:
        cells = [f"{v:.3g}" if isinstance(v, float) else str(v) for v in row]
        print(f"| {' | '.join(cells)} |", flush=True)


def part_scores(shrink):
    traced = {score.function for score in scores.SCORES.values() if not score.of_inputs}
    found = {scores.SCORES[name].function for name in FIELDS}
    assert found == traced, "FIELDS: not those of SCORES"
    table(
        f"{SNAPSHOTS} snapshots of {IMAGENET // shrink:,} examples",
        ["score", "seconds", "peak GiB"],
        ([name, *measured(name, shrink)] for name in FIELDS),
    )


def part_large(shrink):
    table(
        "Large selections",
        ["selection", "N", "D", "classes", "per class", "seconds", "peak GiB"],
        (
            [
                name,
                f"{examples // shrink:,}",
                dims,
                classes,
                max(1, per_class // shrink),
                *measured(name, shrink),
            ]
            for name, (examples, dims, classes, per_class) in LARGE.items()
        ),
    )


def selections(examples, dims, classes, per_class):
    """Returns name -> a function that selects, inputs ready."""
    features, labels = make_features(examples, dims, classes)
    gradients, _ = make_gradients(examples, dims, classes)
    # Held out from training, of the same classes.
    held_out, held_out_labels = make_gradients(examples // 5, dims, classes)
    values, probs = np.random.default_rng(2).random((2, examples), np.float32)

    def key():
        return jax.random.key(0)

    return {
        "random": lambda: select.random(key(), labels, per_class),
        "top": lambda: select.top(values, labels, per_class),
        "window": lambda: select.window(values, labels, per_class, 0.5),
        "stratified": lambda: select.stratified(key(), values, labels, per_class),
        "ccs": lambda: select.ccs(key(), values, labels, per_class, 0.3),
        "beta": lambda: select.beta(key(), values, probs, labels, per_class),
        "k_center": lambda: select.k_center(key(), features, labels, per_class),
        "herding": lambda: select.herding(features, labels, per_class),
        "facility_location": lambda: select.facility_location(
            features, labels, per_class
        ),
        "facility_location, stochastic": lambda: select.facility_location(
            features, labels, per_class, key=key()
        ),
        "graph_cut": lambda: select.graph_cut(features, labels, per_class),
        "d2": lambda: select.d2(values, features, labels, per_class),
        "bws": lambda: select.bws(values, features, labels, per_class),
        "craig": lambda: select.craig(gradients, labels, per_class),
        "gradmatch": lambda: select.gradmatch(gradients, labels, per_class),
        "glister": lambda: select.glister(
            gradients, labels, per_class, held_out, held_out_labels
        ),
        "prototypes": lambda: scores.prototypes(key(), features, classes),
    }


def part_growth(shrink):
    sizes, dims, classes, per_class = GROWTH
    sizes = [size // shrink for size in sizes]
    per_class = max(1, per_class // shrink)
    by_size = [selections(size, dims, classes, per_class) for size in sizes]

    def rows():
        for name in by_size[0]:
            times = [seconds_of(functions[name])[0] for functions in by_size]
            yield [name, *times, times[-1] / times[-2]]

    table(
        f"Seconds, {dims} features, {classes} classes, {per_class} of each",
        ["selection", *(f"N = {size:,}" for size in sizes), "last doubling"],
        rows(),
    )


def plain_k_center(features, labels, per_class, firsts):
    """As google/active-learning does: all distances to the last choice, each time."""
    from sklearn.metrics import pairwise_distances

    found = []
    for label, first in enumerate(firsts):
        ids = np.flatnonzero(labels == label)
        pool, chosen = features[ids], [int(np.flatnonzero(ids == first)[0])]
        nearest = np.full(len(ids), np.inf)
        while len(chosen) < per_class:
            distances = pairwise_distances(pool, pool[chosen[-1:]])[:, 0]
            nearest = np.minimum(nearest, distances)
            chosen.append(int(np.argmax(nearest)))
        found.append(ids[chosen])
    return np.sort(np.concatenate(found))


def plain_facility_location(features, labels, per_class):
    """Every gain of every candidate, each time."""
    from sklearn.metrics.pairwise import cosine_similarity

    found = []
    for label in range(labels.max() + 1):
        ids = np.flatnonzero(labels == label)
        similar = (1 + cosine_similarity(features[ids])) / 2
        reached, chosen = np.zeros(len(ids), np.float32), []
        for _ in range(per_class):
            gains = np.maximum(similar - reached, 0).sum(axis=1)
            gains[chosen] = -1
            chosen.append(int(np.argmax(gains)))
            reached = np.maximum(reached, similar[chosen[-1]])
        found.append(ids[chosen])
    return np.sort(np.concatenate(found))


def plain_herding(features, labels, per_class):
    """The distance of every example to the running target, each time."""
    found = []
    for label in range(labels.max() + 1):
        ids = np.flatnonzero(labels == label)
        pool = features[ids].astype(np.float64)
        chosen = []
        for count in range(per_class):
            target = (count + 1) * pool.mean(axis=0) - pool[chosen].sum(axis=0)
            distances = np.linalg.norm(pool - target, axis=1)
            distances[chosen] = np.inf
            chosen.append(int(np.argmin(distances)))
        found.append(ids[chosen])
    return np.sort(np.concatenate(found))


def plain_deviation(values_SN, window, starts):
    """The mean deviation of windows, in float64 as in ddjax."""
    total_N = 0.0
    for start in starts:
        part = values_SN[start : start + window]
        total_N = total_N + part.std(axis=0, ddof=1, dtype=np.float64)
    return total_N / len(starts)


def plain_tdds(values_SN, window=10, decay=0.9):
    """As published, in float64 as in ddjax."""
    total_N, last = 0.0, len(values_SN) - window
    for start in range(last + 1):
        part = values_SN[start + 1 : start + window]
        mean_N = part.mean(axis=0, dtype=np.float64)
        norm_N = np.linalg.norm(part - mean_N, axis=0)
        total_N = total_N + decay * (1 - decay) ** (last - start) * norm_N
    return total_N


def plain_prototypes(features, clusters):
    """The very k-means that the score uses: the ratio is what is around it."""
    from sklearn.cluster import KMeans
    from sklearn.metrics.pairwise import cosine_similarity

    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    seed = int(jax.random.bits(jax.random.key(0)))
    model = KMeans(clusters, random_state=seed, n_init=1).fit(unit.astype(np.float64))
    return 1 - cosine_similarity(unit, model.cluster_centers_).max(axis=1)


def part_plain(shrink):
    sizes, dims, classes, per_class = GROWTH
    examples, per_class = sizes[-1] // shrink, max(1, per_class // shrink)
    features, labels = make_features(examples, dims, classes)
    own = selections(examples, dims, classes, per_class)
    trace = make_trace(["true_prob", "step_kl"], IMAGENET // shrink)
    starts = range(SNAPSHOTS - 10)
    firsts = select.k_center(jax.random.key(0), features, labels, 1)
    firsts = firsts[np.argsort(labels[firsts])]
    pairs = {
        "k_center": (
            own["k_center"],
            lambda: plain_k_center(features, labels, per_class, firsts),
        ),
        "facility_location": (
            own["facility_location"],
            lambda: plain_facility_location(features, labels, per_class),
        ),
        "herding": (
            own["herding"],
            lambda: plain_herding(features, labels, per_class),
        ),
        "prototypes": (
            own["prototypes"],
            lambda: plain_prototypes(features, classes),
        ),
        "dyn_unc": (
            lambda: scores.dyn_unc(trace),
            lambda: plain_deviation(trace.true_prob, 10, starts),
        ),
        "cad": (
            lambda: scores.cad(trace),
            lambda: plain_deviation(trace.true_prob, 6, range(52, 54)),
        ),
        "tdds": (
            lambda: scores.tdds(trace),
            lambda: plain_tdds(trace.step_kl),
        ),
    }

    def rows():
        for name, (function, plain) in pairs.items():
            seconds, result = seconds_of(function)
            plain_seconds, expected = seconds_of(plain)
            np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-6)
            size = f"{trace.num_examples if name in FIELDS else examples:,}"
            yield [name, size, seconds, plain_seconds, plain_seconds / seconds]

    table(
        "Against plain NumPy and scikit-learn, results the same",
        ["", "N", "ddjax seconds", "plain seconds", "ratio"],
        rows(),
    )


PARTS = {
    "scores": part_scores,
    "large": part_large,
    "growth": part_growth,
    "plain": part_plain,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", choices=PARTS, nargs="*", default=list(PARTS))
    parser.add_argument("--shrink", type=int, default=1)
    parser.add_argument("--measure", choices=[*FIELDS, *LARGE], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure(options.measure, options.shrink)
        return
    for part in options.part:
        PARTS[part](options.shrink)


if __name__ == "__main__":
    main()
