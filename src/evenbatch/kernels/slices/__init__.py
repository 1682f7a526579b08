"""The arithmetic of ghost batches: each slice of a batch by its own moments, on top of each backend's kernels.

Slices are rows that follow each other on the first axis (Hoffer et al. 2017, https://arxiv.org/abs/1705.08741).
"""
