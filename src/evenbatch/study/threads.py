"""The threads of a process that trains, which its last bits depend on."""

import importlib


def limit_threads(threads: int) -> None:
    """Makes the loaded backend deterministic and holds it to that many threads."""
    backend = importlib.import_module("keras").backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        try:
            tf.config.threading.set_intra_op_parallelism_threads(threads)
            tf.config.threading.set_inter_op_parallelism_threads(threads)
        except RuntimeError:
            pass  # this worker has run a trial before, with the same number
        tf.config.experimental.enable_op_determinism()
    elif backend == "torch":
        import torch

        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(True, warn_only=True)
