"""One look for every progress bar: what, how far, how fast, how long still."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Never

from tqdm import tqdm

SECONDS_BETWEEN_LINES = 10.0  # where no terminal shows the bar, as in a nightly job's log


@contextmanager
def progress(
    what: str, total: int | None, unit: str, *, hidden: bool = False
) -> "Iterator[tqdm[Never]]":
    """Show a bar for `total` units (None: unknown); call `.update(n)` on what is yielded."""
    with tqdm(
        total=total,
        desc=f"{what:<18}",
        unit=f" {unit}",
        disable=hidden,
        dynamic_ncols=sys.stderr.isatty(),
        mininterval=0.2 if sys.stderr.isatty() else SECONDS_BETWEEN_LINES,
    ) as bar:
        yield bar
