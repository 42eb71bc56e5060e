"""What stands beside a judge's ratings: why they decide nothing, and which judgments failed."""

UNTRUSTED = "untrusted judge"
OWN = "the judge is the base"
REASONS = {
    UNTRUSTED: "on its card the judge is not better than chance",
    OWN: "the judge is the base, which finds its own answers likely",
}
FAILURES = {
    "call": "judgments without a reply",
    "format": "judgments without a rating",
    "missing_answer": "answers missing",
    "not_a_conversation": "rows that are no conversation",
}
