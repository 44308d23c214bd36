"""Training: one student as a loop of steps, many of them as a sweep, and its parts."""

from ddjax.train.batches import Batch, Plan, Pool, make_batch, normalise, place_pool
from ddjax.train.checkpoint import load_tree, save_tree
from ddjax.train.drivers import lift
from ddjax.train.evaluate import accuracy, represent
from ddjax.train.flops import flops
from ddjax.train.members import Members, Watch
from ddjax.train.micro_batch import micro_batch_size
from ddjax.train.order import Order, presentations
from ddjax.train.schedule import Steps, schedule_factor
from ddjax.train.streaming import Streaming
from ddjax.train.student import (
    HParams,
    Program,
    advance_all,
    init_student,
    train_step,
)
from ddjax.train.supervision import Supervision
from ddjax.train.sweep import Bound, Runner, grid_of
from ddjax.train.unroll import Learned, Step, StudentLoss, unroll, unroll_by_adjoint

__all__ = [
    "Batch",
    "Bound",
    "HParams",
    "Learned",
    "Members",
    "Order",
    "Plan",
    "Pool",
    "Program",
    "Runner",
    "Step",
    "Steps",
    "Streaming",
    "StudentLoss",
    "Supervision",
    "Watch",
    "accuracy",
    "advance_all",
    "flops",
    "grid_of",
    "init_student",
    "lift",
    "load_tree",
    "make_batch",
    "micro_batch_size",
    "normalise",
    "place_pool",
    "presentations",
    "represent",
    "save_tree",
    "schedule_factor",
    "train_step",
    "unroll",
    "unroll_by_adjoint",
]


def __dir__() -> list[str]:
    return __all__
