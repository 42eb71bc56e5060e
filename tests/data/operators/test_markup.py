"""HTML and addresses go, and what only looks like them stays."""

import pytest

from loraflow.data.operators.markup import Html, Urls
from tests.data.operators import edited, row


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("<p>One</p><p>Two<br>three</p>", "\nOne\n\nTwo\nthree\n"),
        ("<b>H</b><sub>2</sub>O &amp; CO&nbsp;&#x2082;", "H2O & CO ₂"),
        ('<a href="https://a.com?x=1&y=2">link</a>', "link"),
        ("<tr><td>1</td><td>2</td></tr>", "\n 1  2 \n"),
        ("<p>a<script>if (a < b) x()</script><style>p {}</style><!-- no -->b", "\nab"),
        ("<p>x<pre><code>List&lt;String&gt; a;\n&lt;div&gt;</code></pre>",
         "\nx\n```\nList<String> a;\n<div>\n```\n"),
        ("<p>the &lt;br&gt; tag", "\nthe `<br>` tag"),
        ("<<b>b>x</b>", "b>x"),
    ],
)  # fmt: skip
def test_html_becomes_text(text: str, plain: str) -> None:
    assert edited(Html(), text) == plain


@pytest.mark.parametrize(
    "text",
    [
        "a < b and c > d, x <b and c> y, 1<2>0",
        "List<String> Map<A, B> vector<P> std::set<I>",
        "usage: cp <source> <title> <input>",
        "AT&T &amp; &lt;b&gt; &copy;",
        "```html\n<p>a</p> &amp;\n``` and `<b>x</b>`",
        "<think>hm</think> <answer>1</answer> <|im_start|>",
        "<!DOCTYPE html>\n<html><body><p>A page</p></body></html>",
        "A --> B",
    ],
)
def test_what_only_looks_like_html_stays(text: str) -> None:
    assert edited(Html(), text) == text


@pytest.mark.parametrize("question", ["Write an HTML table.", "用CSS写一个网页", "做一个网页"])
def test_row_about_html_stays(question: str) -> None:
    record = row("<table><tr><td>1</td></tr></table>", question)
    assert Html()(record) is record


@pytest.mark.parametrize(
    ("text", "without"),
    [
        ("见https://a.com/b。然后", "见[URL]。然后"),
        ("访问www.a.com，或http://b.cn/?q=1&r=%E4#x！", "访问[URL]，或[URL]！"),
        ("[a](https://a.com/x) <http://b.org>, HTTPS://C.COM.", "[a]([URL]) <[URL]>, [URL]."),
        ("https://en.wikipedia.org/wiki/A_(b)", "[URL]"),
    ],
)  # fmt: skip
def test_urls_are_replaced_without_what_follows(text: str, without: str) -> None:
    assert edited(Urls("[URL]"), text) == without


@pytest.mark.parametrize("text", ["http://", "see awww.b", "a@www.b.com", "e.g. a.b.c", "http：//"])
def test_what_is_no_url_stays(text: str) -> None:
    assert edited(Urls("[URL]"), text) == text
