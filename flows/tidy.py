"""Keeps the store and old nights' weights within night.disk_gib, or shows what would go and why.

python -m flows.tidy dry_run=true
python -m flows.tidy night.name=tickets night.disk_gib=20
"""

import sys
from typing import TYPE_CHECKING

from flows.command import run_safely
from flows.night_command import NightRequest, night_words, read_night
from loraflow.errors import UserError

if TYPE_CHECKING:
    from loraflow.promote.tidy.tidy import Piece

_DRY_RUN = {"dry_run=true": True, "dry_run=false": False}


def tidy_up(request: NightRequest) -> "list[Piece]":
    """Delete what is over the budget and that no night of the line needs; return it."""
    from loraflow.promote.tidy.artifacts import weights_of_nights
    from loraflow.promote.tidy.tidy import tidy

    night, config = request.night, request.config
    with weights_of_nights(config.tracking, night.name) as weights:
        return tidy(config.store, night.disk_gib, _keep(request), weights)


def look(request: NightRequest) -> "tuple[list[Piece], list[Piece]]":
    """Return what would go, and what stays."""
    from loraflow.promote.tidy.artifacts import weights_of_nights
    from loraflow.promote.tidy.tidy import choose, survey

    night, config = request.night, request.config
    with weights_of_nights(config.tracking, night.name) as weights:
        pieces = survey(config.store, _keep(request), weights)
    gone = choose(pieces, night.disk_gib)
    return gone, [piece for piece in pieces if piece not in gone]


def _keep(request: NightRequest) -> dict[str, str]:
    from loraflow.promote.tidy.keep import keep_of

    return keep_of(request.config.tracking, request.night.folder)


def main() -> None:
    """Read the command line, tidy up or only look, show what goes."""
    run_safely(_run)


def _run() -> None:
    is_dry = _take_dry_run()
    if (words := night_words()) is None:
        return
    request = read_night(words)
    from loraflow.promote.tidy.terminal import show_pieces

    if is_dry:
        gone, left = look(request)
        show_pieces("would go", gone)
        show_pieces("would stay", left)
    else:
        show_pieces("gone", tidy_up(request))


def _take_dry_run() -> bool:
    """Take dry_run=true off the command line, which Hydra does not know."""
    found = [word for word in sys.argv[1:] if word.partition("=")[0] == "dry_run"]
    sys.argv[1:] = [word for word in sys.argv[1:] if word not in found]
    for word in found:
        if word not in _DRY_RUN:
            raise UserError(f"{word} is unknown; choose from {', '.join(_DRY_RUN)}")
    return bool(found) and _DRY_RUN[found[-1]]


if __name__ == "__main__":
    main()
