"""What nobody knows of an exported model, so far as its run tells: said, not left out."""

from collections.abc import Iterator, Sequence

from loraflow.serve.export.answers import Gap
from loraflow.serve.export.subject import Subject
from loraflow.tracking.described import Described


def limits(
    subject: Subject, run: Described | None, language: str, gaps: Sequence[Gap]
) -> Iterator[str]:
    """Yield sentences; `language` is the name of the one that was found, empty if none was."""
    if run is None:
        yield (
            "No MLflow run is known of this adapter: its data, its training and its quality are "
            "unknown."
        )
    elif items := run.evaluated.get("counts", {}).get("items"):
        yield (
            f"It was measured on {items} held-out rows of the data that it learned from; nothing "
            "is known of other data."
        )
    else:
        yield "Its run holds no evaluation of it."
    if run is not None and not run.probed:
        yield "Whether it has forgotten what the base could do was not measured."
    if language:
        yield f"It was tried in the language of its data ({language}), and in no other."
    if subject.merges_turns():
        yield (
            "In a conversation of several turns its tokenizer merges the start of an earlier "
            "answer with the mark before it, where training kept them apart; single questions are "
            "exact."
        )
    yield "Whether it is safe, fair or true in what it says was not tested."
    if any(gap.has_lost_the_training for gap in gaps):
        yield (
            "**It has lost what was trained**: it is nearer to the base alone than to the adapter."
        )
    if subject.is_quantized:
        measured = (
            "on another precision of that base it answers differently, as the table above measures"
            if gaps
            else "how it answers on another precision of that base was not measured"
        )
        yield f"It was trained beside a base in {subject.base.quantization.method}: {measured}."
