"""The rank report as Markdown, in the terminal, as a picture and as files."""

import io
import re
from dataclasses import replace
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder  # type: ignore[import-untyped]
from fontTools.ttLib.tables._g_l_y_f import Glyph  # type: ignore[import-untyped]
from matplotlib.font_manager import fontManager

from loraflow.compare.recommend import Kind
from loraflow.sweep.report.answer import answer_of
from loraflow.sweep.report.content import RankPage
from loraflow.sweep.report.fonts import font_families
from loraflow.sweep.report.markdown import as_markdown
from loraflow.sweep.report.picture import quality_picture
from loraflow.sweep.report.run import write
from loraflow.sweep.report.terminal import show_rank
from tests.sweep.report.rank_pages import (
    far_page,
    many_arms_page,
    page_of,
    realistic_page,
    run,
    sweep_page,
    tuned_page,
)

EVIL = "| a \\ *b* `c` <img src=x> [d](e)\n# f _g_ \ud83d \x1b[31m"


@pytest.fixture(scope="module")
def page() -> RankPage:
    return realistic_page()


@pytest.fixture
def wide_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")


def rows(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("| ")]


def test_markdown_says_the_recommendation_first_then_every_arm(page: RankPage) -> None:
    text = as_markdown(page)
    assert page.recommendation is not None
    assert text.startswith(f"**{page.recommendation.sentence}**")
    assert all(f"| {arm.name} |" in text for arm in page.arms)
    assert "equivalent, enough" in text
    assert "| failed | CUDA out of memory" in text
    assert "43 finished, 1 failed, 1 waiting" in text


def test_markdown_of_many_arms_fits_a_note() -> None:
    text = as_markdown(many_arms_page())
    assert len(text) < 5_000
    assert "more arms are in the report" in text
    assert "| base model |" in text


def test_markdown_holds_hostile_words_as_text() -> None:
    arms = [run(f"{EVIL}{r}", {"r": r}, 0, items=10) for r in (1, 2)]
    text = as_markdown(replace(page_of(arms, {"r": [1, 2]}), findings=[EVIL]))
    assert all(len(re.findall(r"(?<!\\)\|", row)) == 9 for row in rows(text))
    assert r"\<img src=x\> \[d\](e) \# f \_g\_" in text
    assert "\x1b" not in text


@pytest.mark.usefixtures("wide_terminal")
def test_the_terminal_shows_arms_counts_reasons_and_places(
    page: RankPage, capsys: pytest.CaptureFixture[str]
) -> None:
    show_rank(page, {"report": "store/rank.html"})
    printed = capsys.readouterr().out
    assert page.recommendation is not None
    assert page.recommendation.sentence in printed
    assert page.comparison is not None
    assert page.recommendation.kind == "enough"
    name = page.recommendation.arm or ""
    score, gap = page.comparison.arms[name], page.comparison.gaps[name].difference
    row = next(line for line in printed.splitlines() if f" {name}  " in line)
    assert f"{score.value:.3f}  {score.seeds[0]:.3f} {score.seeds[1]:.3f}" in row
    assert f"{gap.mean:+.3f} ({gap.low:+.3f} to {gap.high:+.3f})  ✓ enough" in row
    assert "Trials: 43 finished, 1 failed, 1 waiting" in printed
    assert "failed  r=128 all_linear seed=0: CUDA out of memory" in printed
    assert printed.rstrip().endswith("store/rank.html")


def test_the_terminal_counts_what_was_pruned(capsys: pytest.CaptureFixture[str]) -> None:
    show_rank(tuned_page(), {})
    printed = capsys.readouterr().out
    assert "21 finished, 15 pruned, 1 failed" in printed
    assert printed.count("step 20") == 0


def test_the_terminal_shows_hostile_words_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    arms = [run(f"{EVIL}{r}", {"r": r}, 0, items=10) for r in (1, 2)]
    show_rank(replace(page_of(arms, {"r": [1, 2]}), findings=["[red]x[/red]"]), {})
    printed = capsys.readouterr().out
    assert "\x1b[31m" not in printed
    assert "[red]x[/red]" in printed


@pytest.mark.parametrize(
    "space",
    [
        {"r": [1, 4], "target_modules": ["查询与值", "$全部$"]},
        {"r": [0, 4]},
        {"method": ["lora", "dora"]},
        {"r": [1, 2], "set": [f"set {place}" for place in range(9)]},
        {"r": [1, 2], "half \ud83d": ["half \ud83d", "\x00"]},
    ],
)
def test_the_picture_is_light_and_not_empty(space: dict[str, list[int | str]]) -> None:
    shown = replace(sweep_page(space, items=10), title="哪一个秩就够了 $x_")
    image = matplotlib.image.imread(io.BytesIO(quality_picture(shown)))
    assert image.shape[1] == 960
    assert image[0, 0, :3].tolist() == [1, 1, 1]
    assert image[..., :3].std() > 0.01


@pytest.mark.parametrize(("space", "axis"), [({"r": [1, 2]}, 0), ({"set": ["a", "b"]}, 1)])
def test_a_control_far_away_does_not_flatten_the_picture(
    space: dict[str, list[int | str]], axis: int
) -> None:
    image = matplotlib.image.imread(io.BytesIO(quality_picture(far_page(space))))
    is_blue = (abs(255 * image[..., :3] - (47, 109, 140)).max(axis=2) < 2) & (
        np.arange(image.shape[1]) < 700  # not of the legend
    )
    found = np.flatnonzero(is_blue.any(axis=1 - axis))
    assert found[-1] - found[0] > image.shape[axis] / 2


def test_the_picture_takes_any_installed_font_with_han_characters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    font_families.cache_clear()
    monkeypatch.setattr(fontManager, "ttflist", fontManager.ttflist[:])
    fontManager.addfont(write_font(tmp_path / "hei.ttf", "A Sans of this test", "们字"))
    assert font_families()[:2] == ["DejaVu Sans", "A Sans of this test"]
    font_families.cache_clear()


def write_font(path: Path, family: str, letters: str) -> Path:
    glyphs = {ord(letter): f"uni{ord(letter):04X}" for letter in letters}
    names = [".notdef", *glyphs.values()]
    font = FontBuilder(1000)
    font.setupGlyphOrder(names)
    font.setupCharacterMap(glyphs)
    font.setupGlyf({name: Glyph() for name in names})
    font.setupHorizontalMetrics(dict.fromkeys(names, (1000, 0)))
    font.setupHorizontalHeader()
    font.setupNameTable({"familyName": family, "styleName": "Regular"})
    font.setupOS2()
    font.setupPost()
    font.save(path)
    return path


def test_the_files_are_written_whatever_the_names_hold(tmp_path: Path) -> None:
    arms = [run(f"{EVIL}{r}", {"r": r}, 0, items=10) for r in (1, 2)]
    write(replace(page_of(arms, {"r": [1, 2]}), title=EVIL), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"rank.html", "rank.md", "rank.png"}
    assert "half" not in (tmp_path / "rank.md").read_text(encoding="utf-8")
    assert (tmp_path / "rank.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize(
    ("kind", "tone", "head"),
    [
        ("enough", "good", "r=4 attention is enough"),
        ("best", "good", "r=4 attention: no smaller arm is enough"),
        ("cannot tell", "note", "Not settled: r=1 attention may be enough"),
        ("no gain", "bad", "No adapter is clearly better than r=1 attention"),
    ],
)
def test_the_head_says_what_kind_of_answer_it_is(
    page: RankPage, kind: Kind, tone: str, head: str
) -> None:
    assert page.recommendation is not None
    found = replace(
        page.recommendation, kind=kind, arm="r=4 attention", inside_noise="r=1 attention"
    )
    answer = answer_of(replace(page, recommendation=found))
    assert (answer.tone, answer.head) == (tone, head)
    assert len(answer.tiles) >= 4
