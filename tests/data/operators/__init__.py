"""Rows and texts on which operators are tried."""

from collections.abc import Callable

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from loraflow.data.records import Fault, Record

on_any_machine = settings(deadline=None, suppress_health_check=list(HealthCheck))

# Parts of what operators look for, so that random texts come close to it
_PARTS = [
    *["<", "</", ">", "<b>", "</b>", "<p>", "<pre>", "</pre>", "<code>", "<script>", "</script>"],
    *["<!--", "-->", "&lt;", "&amp;", "gt;", "`", "```", "\n", "\r", " ", "\t", "a", "B", "x="],
    *["a@b.co", "@", ".", "www.", "https://a.b", "(", ")", ":", "::", "2001:db8", "1", "-", "+1 "],
    *["13812345678", "138 1234 5678", "+86", "1.2.3.4", "4111111111111111", "11010519491231002X"],
    *["e\u0301", "Ã©", "Ã", "©", "â€", "™", "\x80", "\x85", "°", "Å ", "à", "ä½ å¥½", "я", "“"],
    *["\u200d", "\u200b", "\u200c", "👩", "\U0001f3f4", "\U000e0067", "\U000e007f", "\ufe0f"],
    *["\x1b[", "31m", "\0", "的", "，", "。", "\u0627", "क", "\u061c", "\u3000", "\x0c", "_", "ß"],
]
texts = st.lists(st.sampled_from(_PARTS) | st.characters(codec="utf-8"), max_size=14).map("".join)

_LONG = 200_000
hostile_texts = [
    (part * _LONG)[:_LONG]
    for part in (
        *[" ", "\n", " \n", "\t x", "<", "<b ", "<b =", "<<b>", "</", "<script>", "<pre>", "<!--"],
        *["&amp;", "&lt;b ", "`", "```", "`a", "@", "a@", "a@b.", "www.", "https://a(", "(", "["],
        *[
            "1",
            "1 ",
            "1-",
            "+1(",
            "13812345678",
            "4111 ",
            "1.",
            "2001:",
            "::",
            "\0",
            "\x80",
            "\x1b[",
        ],
        *["\u0300\u0327", "Ã", "Ã©", "Ã©好", "\u200d", "👩\u200d", "\U0001f3f4\U000e0067"],
        *["的", "的，", "ab ", "as an ", "作为", "\U0001d4b3", "\u3000", "ab, "],
    )
]


def row(answer: str, question: str = "question") -> Record:
    """Return a record of one turn."""
    return Record(({"role": "user", "content": question}, {"role": "assistant", "content": answer}))


def preference(chosen: str, rejected: str) -> Record:
    """Return a record with a better and a worse answer."""
    return Record(row(chosen).messages, kind="preference", rejected=rejected)


def edited(operator: Callable[[Record], Record | Fault], text: str) -> str:
    """Return what the operator makes of an answer; unchanged, it must be the very same record."""
    before = row(text)
    after = operator(before)
    assert isinstance(after, Record)
    assert (after is before) == (after.answer == text)
    return after.answer
