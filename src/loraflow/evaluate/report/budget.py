"""How long a text of the page may be, so that the page as a whole stays small."""

from collections.abc import Iterator, Mapping

from loraflow.evaluate.report.content import Conversation, EvaluationPage

_BYTES = 1_300_000  # for texts; the marks around them take some 2 KB an item or question
_LIMITS = (20_000, 10_000, 5_000, 3_000, 2_000, 1_400, 1_000, 700, 500)  # Latin letters
_BYTES_PER_LETTER = 1.5  # of East Asian scripts: 3 bytes, in the room of two Latin letters


def choose_limit(page: EvaluationPage) -> int:
    """Return how many Latin letters of a text are shown; half as many of East Asia."""
    sizes = [len(text.encode("utf-8", "surrogatepass")) for text in _texts(page)]
    return next((limit for limit in _LIMITS if _together(sizes, limit) <= _BYTES), _LIMITS[-1])


def _together(sizes: list[int], limit: int) -> float:
    return sum(min(size, _BYTES_PER_LETTER * limit) for size in sizes)


def _texts(page: EvaluationPage) -> Iterator[str]:
    for item in page.items:
        yield from (item.prompt, item.reference, *item.answers.values())
    for sample in page.prompts:
        yield from (sample.prompt, *sample.answers.values())
    for card in page.cards:
        yield from (text for example in card.examples for text in example[:3])
    for conversation in page.bench.conversations if page.bench else ():
        yield from _texts_of(conversation)


def _texts_of(conversation: Conversation) -> Iterator[str]:
    for turn in conversation.turns:
        answers: Mapping[str, str | None] = turn.answers
        yield from (turn.question, turn.reference, *turn.judgments.values())
        yield from (text for text in answers.values() if text)
