"""What `evenbatch compare` adds to the training itself, over bare `fit` loops of the same trials.

Both run one trial at a time with one thread, in turns, so that a drift of the machine meets both. Bare is a process
that loads Keras and then, for each arm and seed, builds, compiles and fits the same network on the same arrays with
`shuffle=True`; and once more fed by the batches of `compare`, which are cheaper, so that they hide nothing. Two parts
of the command are told apart: its trials (checkpoints, history, saved models, initial weights included) and what lies
around them (starting worker processes, loading Keras in them, summary and report).

    python benchmarks/compare_overhead.py [--rounds N] [--recipe NAME] [--data NAME|FILE] [--seeds N] [--epochs N]
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from statistics import median

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def bare(plan_arguments: dict, same_batches: bool) -> float:
    """Seconds of bare fit loops over all trials, in this process, Keras loaded before."""
    import keras

    from evenbatch.study.design import design
    from evenbatch.study.tasks import task_of
    from evenbatch.study.threads import limit_threads

    plan = design(**plan_arguments)
    limit_threads(plan.spec.threads)
    train = plan.dataset.train
    begin = time.perf_counter()
    for arm, seed in plan.spec.trials():
        keras.utils.clear_session(free_memory=False)
        keras.utils.set_random_seed(seed)
        task = task_of(plan, arm, seed)
        model = task.network()
        task.compile(model)
        own = {"x": train.x, "y": train.y, "batch_size": plan.spec.batch_size, "shuffle": True}
        feed = task.course(model).feed(range(plan.spec.epochs)) if same_batches else None
        model.fit(
            **(feed.arguments if feed else own),
            epochs=plan.spec.epochs,
            **task.validation,
            verbose=0,
        )
    return time.perf_counter() - begin


def bare_process(plan_arguments: dict, same_batches: bool) -> float:
    """The same in a fresh process, as a worker of `compare` is one."""
    from evenbatch import backend
    from evenbatch.study import worker

    with worker.environment(1, backend.chosen()):
        command = [sys.executable, __file__, "--bare", json.dumps([plan_arguments, same_batches])]
        out = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
    return float(out.splitlines()[-1])


def compared(plan_arguments: dict) -> tuple[float, float]:
    """Seconds inside the trials of `evenbatch compare`, and of the whole command."""
    words = [f"--{name}={value}" for name, value in plan_arguments.items() if name != "recipe"]
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "evenbatch", "compare", plan_arguments["recipe"], *words]
        begin = time.perf_counter()
        done = subprocess.run(
            [*command, "--jobs=1", "--json", f"--out={folder}/study"], check=True, capture_output=True, text=True
        )
        whole = time.perf_counter() - begin
    return sum(json.loads(done.stdout)["timing"]["trial_seconds"].values()), whole


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--recipe", default="sigmoid")
    parser.add_argument("--data", default="digits")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--bare", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.bare:
        print(bare(*json.loads(options.bare)))
        return
    arguments = {name: getattr(options, name) for name in ("recipe", "data", "seeds", "epochs")}
    rows = []
    for number in range(1, options.rounds + 1):
        alone, fed = bare_process(arguments, same_batches=False), bare_process(arguments, same_batches=True)
        trials, whole = compared(arguments)
        rows.append((trials / alone - 1, trials / fed - 1, whole - trials))
        print(
            f"round {number}: bare {alone:.1f} s, with the same batches {fed:.1f} s, trials of compare {trials:.1f} s "
            f"({rows[-1][0]:+.1%}, {rows[-1][1]:+.1%}), around them {rows[-1][2]:.1f} s",
            flush=True,
        )
    to_fit, to_fed, around = zip(*rows, strict=True)
    for name, added in {"bare fit": to_fit, "bare fit with the same batches": to_fed}.items():
        spread = f"{min(added):+.1%} to {max(added):+.1%} in {len(rows)} rounds"
        print(f"compare adds {median(added):+.1%} to {name} ({spread})")
    print(f"workers, summary and report take {median(around):.1f} s")


if __name__ == "__main__":
    main()
