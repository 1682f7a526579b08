"""Where a batch is cut into slices."""


def sizes(rows: int, size: int) -> list[int]:
    """The rows of each slice: `size`, and the last takes what is left too, so that it has up to `2 * size - 1`.

    A batch of fewer rows is one slice, and one without rows has none.
    """
    slices, left = divmod(rows, size)
    if not slices:
        return [left] if left else []
    return [*[size] * (slices - 1), size + left]


def rows_in_front(rows: int, size: int) -> int:
    """How many rows are in slices of exactly `size`, which together are one tensor with an axis more."""
    slices, left = divmod(rows, size)
    return max(slices - 1, 0) * size if left else rows
