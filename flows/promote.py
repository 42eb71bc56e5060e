"""A version that was never champion, made champion by a person: after an A/B test, say.

python -m flows.promote reason="liked better: make ab"            # the challenger
python -m flows.promote version=3 reason="..." [by=ann] [night.name=support-tickets]
"""

import sys
from typing import TYPE_CHECKING

from flows.by_hand import Wish, move_champion, read_wish
from flows.command import run_safely, shows_help
from loraflow.errors import UserError

if TYPE_CHECKING:
    from loraflow.promote.registry.registry import Registry
    from loraflow.promote.registry.version import Version


def main() -> None:
    """Read the command line, promote, say what is in use now."""
    if not shows_help(__doc__):
        run_safely(_run)


def _run() -> None:
    wish = read_wish(sys.argv[1:], "promote")
    move_champion(wish, "promoted", lambda registry: _promote(registry, wish))


def _promote(registry: "Registry", wish: Wish) -> "Version":
    wanted = registry.challenger() if wish.version is None else registry.version(wish.version)
    if wanted is None:
        raise UserError(
            f"{registry.name} has no challenger: no version was registered since the last one "
            "became champion; name one that never was with version=N (make ui shows them), or go "
            "back with make rollback"
        )
    champion = registry.champion()
    start = None if champion is None else champion.number
    return registry.promote(wanted, by=wish.by, reason=wish.reason, over=start)


if __name__ == "__main__":
    main()
