# ruff: noqa: S608 (only our own ids, column numbers and row numbers enter SQL text)
"""M4 down-sampling as SQL: at most four points a pixel column, so that a line looks as if every row were drawn.

Per variate and pixel column of rows: the first, the last, the smallest and the largest value, each at its own time
(Jugel et al. 2014, M4). Text and arithmetic only; the store runs it. Tables are ours, with columns t, v0, v1, ...
"""

MAX_MARKS = 4_000


def columns_of_pixels(variates: int, pixels: int) -> int:
    """How many pixel columns each variate gets, so that all marks together stay within ``MAX_MARKS``.

    >>> columns_of_pixels(1, 800), columns_of_pixels(7, 800), columns_of_pixels(1, 5000)
    (800, 142, 1000)
    """
    return max(1, min(pixels, MAX_MARKS // 4 // variates))


def extremes(table: str, columns: list[int], start: int, stop: int, pixels: int) -> str:
    """SQL: per pixel column ``b`` of rows [start, stop) its times and, per variate i, ``n_i, x_i, tn_i, tx_i``.

    Missing values (NULL) take no part. Row numbers are the table's own, so no window function is needed.
    """
    wanted = ", ".join(
        f"min(v{i}) AS n_{i}, max(v{i}) AS x_{i}, arg_min(t, v{i}) AS tn_{i}, arg_max(t, v{i}) AS tx_{i}"
        for i in columns
    )
    return (
        f"SELECT ((rowid - {start}) * {pixels} // {stop - start})::INTEGER AS b, min(t) AS t0, {wanted} "
        f"FROM {table} WHERE rowid >= {start} AND rowid < {stop} GROUP BY b ORDER BY b"
    )


def edges(start: int, stop: int, pixels: int) -> list[int]:
    """Row numbers of the first and the last row of every pixel column of rows [start, stop).

    >>> edges(0, 10, 2)
    [0, 4, 5, 9]
    """
    rows = stop - start
    firsts = sorted({-(-b * rows // pixels) for b in range(pixels)})
    lasts = [first - 1 for first in firsts[1:]] + [rows - 1]
    return sorted({start + row for row in (*firsts, *lasts)})
