"""Digits on several processes with PyTorch: `torchrun --nproc-per-node 2 on_torch.py` starts two on this machine."""

import os

os.environ["KERAS_BACKEND"] = "torch"

import sys
import zlib
from datetime import timedelta

import keras
import numpy as np
import torch
import torch.distributed as dist
from sklearn.datasets import load_digits
from torch.nn.parallel import DistributedDataParallel

import evenbatch as eb

# Two ranks get 63 and 62 images of a batch. The last batch of an epoch is one image, so the second rank gets none.
TRAINED, BATCH, EPOCHS = 1_501, 125, 3
# How long a rank waits for the others before it ends with an error. Longer than the slowest thing one rank does alone.
TIMEOUT = timedelta(seconds=60)


def network():
    """A small convolutional network."""
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(16, 3, padding="same", use_bias=False),
            eb.BatchNormalization(momentum=0.9),
            keras.layers.Activation("silu"),
            keras.layers.Conv2D(32, 3, padding="same", strides=2, use_bias=False),
            eb.BatchNormalization(momentum=0.9),
            keras.layers.Activation("silu"),
            keras.layers.Flatten(),
            keras.layers.Dense(10),
        ]
    )


def shares(images, labels, ranks, rank):
    """This rank's part of each global batch, and how many images the whole of it has."""
    rng = np.random.default_rng(0)  # the same on every rank: the parts must be those of one batch
    for _ in range(EPOCHS):
        order = rng.permutation(len(images))
        for batch in np.split(order, range(BATCH, len(order), BATCH)):
            mine = np.array_split(batch, ranks)[rank]
            yield images[mine], labels[mine], len(batch)


def train(model, images, labels, ranks, rank):
    """Trains as one process would with the global batches."""
    replica = DistributedDataParallel(model)
    optimizer = keras.optimizers.Adam(0.003)
    # Summed here, because Keras' own "sum" leaves the loss of no image an empty tensor.
    losses = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction=None)
    for x, y, images_of_all in shares(images, labels, ranks, rank):
        replica.zero_grad()
        # A rank without images takes part all the same, since the others wait for it. Its sum is 0.
        total = losses(y, replica(keras.ops.convert_to_tensor(x), training=True)).sum()
        # DDP divides the sum of all ranks' gradients by their number. The mean over images, of which ranks have unequal
        # numbers, divides it by the number of images.
        (total * ranks / images_of_all).backward()
        with torch.no_grad():
            optimizer.apply([v.value.grad for v in model.trainable_variables], model.trainable_variables)


def agreed(model, ranks):
    """A number that tells the moving statistics, after all ranks have compared theirs."""
    moving = np.concatenate([keras.ops.convert_to_numpy(v) for v in model.non_trainable_variables])
    of_all = [None] * ranks
    dist.all_gather_object(of_all, zlib.crc32(moving.tobytes()))
    assert len(set(of_all)) == 1
    return of_all[0]


def main(path="model.keras"):
    """Trains, compares the ranks, and saves what they all have."""
    gpus = torch.cuda.is_available()
    if gpus:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if gpus else "gloo", timeout=TIMEOUT)
    ranks, rank = dist.get_world_size(), dist.get_rank()
    images, labels = load_digits(return_X_y=True)
    images = images.reshape(-1, 8, 8, 1).astype("float32") / 16
    keras.utils.set_random_seed(0)
    model = network()
    train(model, images[:TRAINED], labels[:TRAINED], ranks, rank)
    print(f"process {rank}: moving statistics {agreed(model, ranks):08x}")
    if rank == 0:  # inference needs no other rank
        logits = keras.ops.convert_to_numpy(model(images[TRAINED:], training=False))
        print(f"accuracy {np.mean(logits.argmax(1) == labels[TRAINED:]):.3f}")
        model.save(path)
    dist.barrier()  # no rank ends while another is still at work
    dist.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
