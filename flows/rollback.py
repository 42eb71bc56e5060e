"""The champion before this one, or a version of your choice, in use again; with who and why.

python -m flows.rollback reason="worse on support tickets"
python -m flows.rollback version=3 reason="..." [by=ann] [night.name=support-tickets]
"""

import sys

from flows.by_hand import move_champion, read_wish
from flows.command import run_safely, shows_help


def main() -> None:
    """Read the command line, roll back, say what is in use now."""
    if not shows_help(__doc__):
        run_safely(_run)


def _run() -> None:
    wish = read_wish(sys.argv[1:], "rollback")
    move_champion(
        wish,
        "rolled_back",
        lambda registry: registry.rollback(by=wish.by, reason=wish.reason, to=wish.version),
    )


if __name__ == "__main__":
    main()
