"""What it costs that replicas share statistics, and what it brings: our layer and Keras', on logical replicas.

    KERAS_BACKEND=… python benchmarks/replicas [--what cost steps truth kernels] [--replicas R] [--batch N] [--rounds N]

- cost: the collectives of one layer in one training step and the bytes in them, counted in what the framework runs;
- steps: the time of a ResNet-20 step, all arms in turns in one process (one process a rank on PyTorch);
- truth: moving statistics, saved files and errors, where the right numbers are known;
- kernels: on one device, the fused `normalize_batch` against `moments` and `normalize`, which replicas need.

The replicas are logical: they share the cores of one machine, so times say what sharing adds, not what replicas gain.
"""

import argparse
import importlib
import os
import subprocess
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known = ("cost", "steps", "truth", "kernels")
    parser.add_argument("--what", nargs="+", choices=known, default=known)
    parser.add_argument("--replicas", type=int, default=2)
    parser.add_argument("--batch", type=int, default=128, help="images of the global batch in `steps`")
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    from evenbatch import backend

    if backend.chosen() == "torch" and "RANK" not in os.environ:
        sys.exit(one_process_a_rank(options.replicas))
    runner = importlib.import_module(f"on_{backend.chosen()}").Runner(options.replicas)
    import tables  # loads Keras, after the runner has said how many devices there are

    tables.head(options.replicas)
    for what in options.what:
        getattr(tables, what)(runner, options)


def one_process_a_rank(replicas: int) -> int:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={replicas}"]
    threads = max(1, len(os.sched_getaffinity(0)) // replicas)
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "TORCH_CPP_LOG_LEVEL": "ERROR"}
    return subprocess.run([*command, *sys.argv], env=environment, timeout=1800).returncode


if __name__ == "__main__":
    main()
