"""Which run should difficulty be read from? The compute-aligned one, or another.

Claim tested ("Rethinking Dataset Distillation: Hard Truths about Soft Labels", arXiv
2604.18811): CAD is to be read from a run as long as a student's training, whose
schedule is compressed to that length. Three rivals: the start of a run of 50 epochs, as
long as a student's training (early checkpoints); its end, as long; and three aligned
runs, averaged. Each is a run of its own, with the same seeds, so that

    ddjax run scoring_runs:aligned --workdir=runs/aligned
    ddjax run scoring_runs:averaged --workdir=runs/averaged
    ddjax run scoring_runs:early --workdir=runs/early
    ddjax run scoring_runs:end --workdir=runs/end
    ddjax compare runs/aligned runs/averaged runs/early runs/end

pairs them by seed. Fashion-MNIST at 14 px, 6,000 training images, ConvNet-D3 width 32,
150 epochs, IPC 10 and 50, hard labels, ten seeds; five to eight minutes each on
2 CPU cores. Results are in `results/scoring_runs_*`. `scoring_runs:smoke` takes
seconds.

Expected: scores from the end of a long run fit a short training less than those of an
aligned run; averages help a little where scores of one run are noisy.
"""

from ddjax import presets

VARIANTS = ("aligned", "averaged", "early", "end", "smoke")


def get_config(variant: str = "aligned"):
    presets.check_variant(variant, VARIANTS)
    if variant == "smoke":
        config = presets.smoke()
        config.select.ipcs = (2,)
        config.student.epochs = 10
        config.select.passes, config.select.recorded = 2000, "end"
    else:
        config = presets.fashion_mnist()
        config.select.ipcs = (10, 50)
        config.student.epochs = 150
        config.student.learning_rates = (3e-3, 1e-2, 3e-2)
        config.protocol.seeds = tuple(range(10))
        config.protocol.search_seeds = 3
    config.select.methods = ("random", "cad_prune", "cad_facility_location")
    config.regimes = ("hard",)
    if variant == "averaged":
        config.select.runs = 3
    elif variant in ("early", "end"):
        config.select.passes = 50 * 6000
        config.select.recorded = {"early": "start", "end": "end"}[variant]
    config.name = f"scoring_runs_{variant}"
    return config
