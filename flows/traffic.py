"""What users make of two served adapters: which is better, and their feedback as data to train on.

python -m flows.traffic ab [out=FOLDER] [judge=openai ...]     table, verdict and page (make ab)
python -m flows.traffic ab forget=NAME                         delete all that a user said and got
python -m flows.traffic feedback [out=FOLDER or FILE.jsonl]    preference data (make feedback)

Other words are those of make serve: serve.folder=FOLDER serve.traffic.share=0.1 ...
"""

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from flows.command import readable, run_safely, shows_help
from flows.serving import Sections
from flows.used_command import read_used
from loraflow.check import dump_config
from loraflow.config import Config
from loraflow.config.serve import ServeConfig
from loraflow.errors import UserError

if TYPE_CHECKING:
    from loraflow.serve.traffic.export import Exported
    from loraflow.serve.traffic.gather import Report, Traffic
    from loraflow.serve.traffic.shadows import Judged

_WISHES = ("out", "forget")
_FOLDERS = {"ab": "ab", "feedback": "feedback"}  # in serve.folder


def main() -> None:
    """Read the command line and do what its first word says."""
    if not shows_help(__doc__):
        run_safely(_run)


def _run() -> None:
    command, wish, words = _take_words(sys.argv[1:])
    used = read_used("serve", Sections, words)
    serve = used.sections.serve
    out = Path(wish.get("out") or serve.folder / _FOLDERS[command]).expanduser()
    if (name := wish.get("forget")) is not None:
        _forget(serve, name)
    else:
        _COMMANDS[command](used.config, serve, out)


def _take_words(given: Sequence[str]) -> tuple[str, dict[str, str], list[str]]:
    """Split the command line into the command, what only it knows, and what is Hydra's."""
    command, *words = given or [""]
    if command not in _FOLDERS:
        raise UserError(f"{command or 'nothing'} is no command; choose from {', '.join(_FOLDERS)}")
    wish: dict[str, str] = {}
    rest = []
    for word in words:
        key, _, value = word.partition("=")
        if key in _WISHES:
            wish[key] = value
        else:
            rest.append(readable(word))
    return command, wish, rest


def _show_test(config: Config, serve: ServeConfig, out: Path) -> None:
    """Show the comparison in the terminal, and write its page."""
    from loraflow.serve.traffic.report.page import write_page
    from loraflow.serve.traffic.report.terminal import show_report

    report = _report(config, serve)
    page = write_page(report, out)
    show_report(report, {"page": str(page), "log": str(_log(serve))})


def _report(config: Config, serve: ServeConfig) -> "Report":
    from loraflow.serve.traffic.gather import read_traffic, report_on
    from loraflow.serve.traffic.table import reading

    now = time.time()
    with reading(_log(serve)) as table:
        traffic = read_traffic(table, now)
    if traffic is None:
        raise UserError(
            f"{_log(serve)} holds no request that two adapters were compared on; start make serve "
            "with serve.traffic.mode=split or shadow, and ask the model `default`"
        )
    why_not = _why_not_judged(config, traffic)
    judged = None
    if traffic.pairing.kind == "shadow" and not why_not:
        judged = _judge(config, serve, traffic)
    return report_on(traffic, serve.traffic, judged, why_not=why_not, now=now)


def _why_not_judged(config: Config, traffic: "Traffic") -> str:
    if traffic.pairing.kind == "split":
        return ""
    if not traffic.pairs:
        return "There is no pair of whole answers yet."
    if config.judge.kind == "none":
        return "Nobody compares the pairs: take a judge (judge=local, judge=openai)."
    return ""


def _judge(config: Config, serve: ServeConfig, traffic: "Traffic") -> "Judged":
    """Have the judge of the config compare the pairs; nothing is loaded for what it said before."""
    from loraflow.evaluate.judge.opening import Bench
    from loraflow.model.lend import ModelLender
    from loraflow.model.source import find_base
    from loraflow.serve.traffic.judging import judge_pairs

    judge = config.judge
    model = judge.model or config.model
    base = find_base(model, config.quantization)
    lender = ModelLender()
    settings = {name: dump_config(config)[name] for name in ("judge", "model", "quantization")}
    try:
        return judge_pairs(
            Bench(judge, base, lender, name=model.name),
            traffic.pairs,
            settings={**settings, "base": base.revision},
            card_rows=judge.card_rows,
            folder=serve.folder / "judged",
        )
    finally:
        lender.close()


def _export(config: Config, serve: ServeConfig, out: Path) -> None:
    """Write feedback as preference data, and show what came of it."""
    from loraflow.serve.traffic.export import export_feedback
    from loraflow.serve.traffic.table import reading

    with reading(_log(serve)) as table:
        _show_exported(export_feedback(table, out))


def _show_exported(found: "Exported") -> None:
    from rich.console import Console

    console = Console()
    lines = [
        f"{found.pairs:,} preference pairs    {found.pairs_file}",
        f"{found.up:,} good and {found.down:,} bad answers    {found.kto_file}",
        *(f"* left out: {count:,} ({reason})" for reason, count in found.left_out.items()),
        "",
        f'make run ARGS="train=preference data=file data.path={found.pairs_file}"',
    ]
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _forget(serve: ServeConfig, name: str) -> None:
    """Delete what one user asked, got and said."""
    from loraflow.serve.traffic.split import hashed_user
    from loraflow.serve.traffic.table import forget

    if not name:
        raise UserError("forget= names nobody; forget=NAME, as the client sends it in `user`")
    count = forget(_log(serve), hashed_user(name, serve.traffic))
    sys.stdout.write(
        f"{count:,} requests deleted; files that make feedback wrote are not touched\n"
    )


def _log(serve: ServeConfig) -> Path:
    from loraflow.serve.traffic.table import LOG

    return serve.folder / LOG


_COMMANDS: Mapping[str, Callable[[Config, ServeConfig, Path], None]] = {
    "ab": _show_test,
    "feedback": _export,
}

if __name__ == "__main__":
    main()
