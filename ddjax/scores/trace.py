"""The trace: a few numbers per snapshot and example of one scoring run.

Shape letters: S snapshots, N examples, C classes.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from ddjax.errors import InputError


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Trace:
    """What one scoring run recorded, never the full [S, N, C] outputs.

    Every field is an array [S, N] or None where it was not recorded; arrays are kept
    as NumPy. Snapshots are in training order and counted from 0; the position of an
    example along N is its example id.

    Attributes:
      true_prob: float, softmax probability of the true class, in [0, 1].
      el2n: float, L2 distance of the softmax to the one-hot label, in [0, sqrt(2)].
      margin: float, logit of the true class minus the largest other logit.
      correct: bool, whether the true class was predicted.
      entropy: float, entropy of the softmax in nats.
      least_confidence: float, one minus the largest probability, in [0, 1).
      second_prob: float, the second largest probability, in [0, 1/2].
      step_kl: float, change of the softmax since the previous snapshot in nats, see
        `step_kl`; 0 at the first snapshot, which has none before it.
      el2n_sl: float, L2 distance of the softmax to the teacher's fixed label, in
        [0, sqrt(2)].

    Raises:
      InputError: if every field is None, a field is not [S, N] with S, N >= 1, two
        fields differ in shape, a value is not finite, or `correct` is not 0 or 1.
    """

    true_prob: np.ndarray | None = None
    el2n: np.ndarray | None = None
    margin: np.ndarray | None = None
    correct: np.ndarray | None = None
    entropy: np.ndarray | None = None
    least_confidence: np.ndarray | None = None
    second_prob: np.ndarray | None = None
    step_kl: np.ndarray | None = None
    el2n_sl: np.ndarray | None = None

    def __post_init__(self):
        first = None
        for field in dataclasses.fields(self):
            values = getattr(self, field.name)
            if values is None:
                continue
            values_SN = _checked(field.name, np.asarray(values))
            if first is None:
                first = field.name
            elif values_SN.shape != getattr(self, first).shape:
                raise InputError(
                    f"trace.{field.name}: shape {values_SN.shape} differs from that of "
                    f"trace.{first}, {getattr(self, first).shape}"
                )
            object.__setattr__(self, field.name, values_SN)
        if first is None:
            raise InputError("trace: every field is None, at least one is needed")

    @property
    def num_snapshots(self) -> int:
        """S."""
        return self._shape[0]

    @property
    def num_examples(self) -> int:
        """N."""
        return self._shape[1]

    @property
    def _shape(self) -> tuple[int, ...]:
        fields = (getattr(self, field.name) for field in dataclasses.fields(self))
        return next(values.shape for values in fields if values is not None)

    def require(self, field: str) -> np.ndarray:
        """The array [S, N] of a field; an InputError if it was not recorded."""
        values_SN = getattr(self, field)
        if values_SN is None:
            raise InputError(
                f"trace.{field}: not recorded in this trace, but the score needs it"
            )
        return values_SN

    def at(self, field: str, snapshot_index: int) -> np.ndarray:
        """A field's values [N] at one snapshot; an InputError if it is not there."""
        values_SN = self.require(field)
        if not -self.num_snapshots <= snapshot_index < self.num_snapshots:
            raise InputError(
                f"trace.{field}: snapshot {snapshot_index} was requested, but the "
                f"trace has 0..{self.num_snapshots - 1}"
            )
        return values_SN[snapshot_index]

    def mean(self, field: str, start: int = 0, stop: int | None = None) -> np.ndarray:
        """A field's mean [N] float32 over the snapshots start .. stop-1.

        Args:
          field: its name.
          start: first snapshot, 0 <= start < stop.
          stop: one past the last snapshot, at most S; None: S.

        Raises:
          InputError: it was not recorded, or the snapshots are not in the trace.
        """
        values_SN = self.require(field)
        stop = self.num_snapshots if stop is None else stop
        if not 0 <= start < stop <= self.num_snapshots:
            raise InputError(
                f"trace.{field}: snapshots {start}..{stop - 1} were requested, but the "
                f"trace has 0..{self.num_snapshots - 1}"
            )
        mean_N = np.mean(values_SN[start:stop], axis=0, dtype=np.float64)
        return np.asarray(mean_N, np.float32)


def _checked(name, values_SN):
    if values_SN.ndim != 2 or 0 in values_SN.shape:
        raise InputError(
            f"trace.{name}: shape {values_SN.shape}, expected [snapshots, examples] "
            "with at least one of each"
        )
    bad_SN = ~np.isfinite(values_SN)
    if bad_SN.any():
        snapshot_index, example_id = np.argwhere(bad_SN)[0]
        raise InputError(
            f"trace.{name}: {bad_SN.sum()} of {values_SN.size} values are not finite, "
            f"the first at snapshot {snapshot_index}, example {example_id}"
        )
    if name != "correct":
        return values_SN.astype(np.float32, copy=False)
    if not np.isin(values_SN, (0, 1)).all():
        raise InputError("trace.correct: expected only 0 and 1 or booleans")
    return values_SN.astype(bool)


def snapshot(logits_NC, labels_N) -> dict[str, jax.Array]:
    """What a trace records of one snapshot, computed from the logits alone.

    No term cancels another, so that examples whose prediction is nearly certain keep
    distinct values of el2n, entropy and least_confidence.

    Args:
      logits_NC: [N, C] float, unnormalised log-probabilities in nats, C >= 2.
      labels_N: [N] int, in 0..C-1 (not checked).

    Returns:
      A dict of [N] arrays: `true_prob`, `el2n`, `margin`, `entropy`,
      `least_confidence` and `second_prob` float32, `correct` bool (of tied largest
      logits the first class is the prediction). Adding a constant to the logits of an
      example changes nothing.

    Raises:
      InputError: if the shapes do not fit or C < 2.

    Source: el2n is the norm ||p - y||_2 of mansheej/data_diet; margin is taken before
    the softmax as in asappresearch/aum.
    """
    if logits_NC.ndim != 2 or logits_NC.shape[1] < 2:
        raise InputError(
            f"logits: shape {logits_NC.shape}, expected [N, C] with C of at least 2"
        )
    if labels_N.shape != logits_NC.shape[:1]:
        raise InputError(
            f"labels: shape {labels_N.shape}, expected {logits_NC.shape[:1]} to fit "
            f"logits of shape {logits_NC.shape}"
        )
    logits_NC = logits_NC.astype(jnp.float32)
    num_classes = logits_NC.shape[1]
    prediction_N = jnp.argmax(logits_NC, axis=1)
    is_label_NC = jax.nn.one_hot(labels_N, num_classes, dtype=bool)
    is_top_NC = jax.nn.one_hot(prediction_N, num_classes, dtype=bool)

    # From here the largest logit is 0, so that the log of the normaliser is a log1p.
    logits_NC = logits_NC - jnp.max(logits_NC, axis=1, keepdims=True)
    powers_NC = jnp.exp(logits_NC)
    rest_NC = jnp.where(is_top_NC, 0.0, powers_NC)
    log_total_N = jnp.log1p(jnp.sum(rest_NC, axis=1))
    top_prob_N = jnp.exp(-log_total_N)
    probs_NC = powers_NC * top_prob_N[:, None]

    others_NC = jnp.where(is_label_NC, -jnp.inf, logits_NC)
    label_logit_N = jnp.sum(jnp.where(is_label_NC, logits_NC, 0.0), axis=1)
    # 1 - p_y, and how the other classes share it.
    error_N = jnp.exp(jax.nn.logsumexp(others_NC, axis=1) - log_total_N)
    shares_NC = jax.nn.softmax(others_NC, axis=1)
    return {
        "true_prob": jnp.exp(label_logit_N - log_total_N),
        "el2n": error_N * jnp.sqrt(1.0 + jnp.sum(shares_NC**2, axis=1)),
        "margin": label_logit_N - jnp.max(others_NC, axis=1),
        "correct": prediction_N == labels_N,
        "entropy": log_total_N - jnp.sum(probs_NC * logits_NC, axis=1),
        "least_confidence": jnp.sum(rest_NC, axis=1) * top_prob_N,
        "second_prob": jnp.max(rest_NC, axis=1) * top_prob_N,
    }


def step_kl(log_probs_NC: np.ndarray, previous_NC: np.ndarray) -> np.ndarray:
    """The change of a prediction from one snapshot to the next.

    Args:
      log_probs_NC: [..., C] float, log-probabilities now.
      previous_NC: [..., C] float, those of the snapshot before.

    Returns:
      [...] float32, sum_c |p_c (log p_c - log p'_c)| in nats, at least 0.

    It keeps the digits that the log-probabilities have; near certainty those are had
    from `losses.softmax.log_softmax`, not from a plain one.

    Source: zhangxin-xd/Dataset-Pruning-TDDS, without the 1e-8 that it adds to
    probabilities inside the logarithms. The absolute value inside the sum makes it
    larger than a KL divergence.
    """
    changes_NC = np.exp(log_probs_NC) * (log_probs_NC - previous_NC)
    change_N = np.sum(np.abs(changes_NC), axis=-1, dtype=np.float64)
    return np.asarray(change_N, np.float32)


def label_distance(log_probs_NC: np.ndarray, label_NC: np.ndarray) -> np.ndarray:
    """The L2 distance of a prediction to a soft label.

    A difference of probabilities is the larger one times -expm1 of how far the
    logarithms are apart, which keeps its digits where the two are close.

    Args:
      log_probs_NC: [..., C] float, log-probabilities of the prediction.
      label_NC: [..., C] float, those of the label.

    Returns:
      [...] of their dtype, in [0, sqrt(2)].
    """
    larger_NC = np.exp(np.maximum(log_probs_NC, label_NC))
    apart_NC = np.expm1(-np.abs(log_probs_NC - label_NC))
    return np.linalg.norm(larger_NC * apart_NC, axis=-1)
