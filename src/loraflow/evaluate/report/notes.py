"""Reservations about a judge's ratings, which keep them out of what is called better or worse."""

UNTRUSTED = "untrusted judge"
OWN = "the judge is the base"
REASONS = {
    UNTRUSTED: "on its card the judge is not better than chance",
    OWN: "the judge is the base, which finds its own answers likely",
}
