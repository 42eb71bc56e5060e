"""What users make of two served adapters: which is better, and their feedback as data to train on.

python -m flows.traffic ab [out=FOLDER] [judge=openai ...]     table, verdict and page (make ab)
python -m flows.traffic ab forget=NAME                         delete all that a user said and got
python -m flows.traffic feedback [out=FOLDER or FILE.jsonl]    preference data (make feedback)

Other words are those of make serve: serve.folder=FOLDER serve.traffic.salt=SALT ...
"""

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from flows.command import readable, run_safely, shows_help
from flows.serving import Sections, find_given, served_config
from flows.used_command import Used, read_used
from loraflow.config import Config
from loraflow.config.serve import ServeConfig
from loraflow.errors import UserError

if TYPE_CHECKING:
    from loraflow.serve.traffic.export import Exported
    from loraflow.serve.traffic.gather import Report, Traffic
    from loraflow.serve.traffic.shadows import Judged

_WISHES = ("out", "forget")


def main() -> None:
    """Read the command line and do what its first word says."""
    if not shows_help(__doc__):
        run_safely(_run)


def _run() -> None:
    command, wish, words = _take_words(sys.argv[1:])
    used = read_used("serve", Sections, words)
    serve = used.sections.serve
    if (name := wish.get("forget")) is not None:
        _forget(serve, name)
    else:
        out = Path(wish.get("out") or serve.folder / command).expanduser()
        _COMMANDS[command](used, out)


def _take_words(given: Sequence[str]) -> tuple[str, dict[str, str], list[str]]:
    """Split the command line into the command, what only it knows, and what is Hydra's."""
    command, *words = given or [""]
    if command not in _COMMANDS:
        raise UserError(f"{command or 'nothing'} is no command; choose from {', '.join(_COMMANDS)}")
    wish: dict[str, str] = {}
    rest = []
    for word in words:
        key, _, value = word.partition("=")
        if key in _WISHES:
            wish[key] = value
        else:
            rest.append(readable(word))
    if command != "ab" and "forget" in wish:
        raise UserError(f"forget={wish['forget']} is no word of {command}; give it to make ab")
    return command, wish, rest


def _show_test(used: Used[Sections], out: Path) -> None:
    """Show the comparison in the terminal, and write its page."""
    from loraflow.serve.traffic.report.page import write_page
    from loraflow.serve.traffic.report.terminal import show_report

    report = _report(used)
    with _faults_of(out):
        page = write_page(report, out)
    show_report(report, {"page": str(page), "log": str(_log(used.sections.serve))})


def _report(used: Used[Sections]) -> "Report":
    from loraflow.serve.traffic.gather import read_traffic, report_on
    from loraflow.serve.traffic.table import reading

    serve, now = used.sections.serve, time.time()
    with reading(_log(serve)) as table:
        traffic = read_traffic(table, now)
    if traffic is None:
        raise UserError(
            f"{_log(serve)} holds no request that two adapters were compared on; start make serve "
            "with serve.traffic.mode=split or shadow, and ask the model `default`"
        )
    why_not = _why_not_judged(used.config, traffic)
    judged = None
    if traffic.pairing.kind == "shadow" and not why_not:
        judged = _judge(used, traffic)
    return report_on(traffic, serve.traffic, judged, why_not=why_not, now=now)


def _why_not_judged(config: Config, traffic: "Traffic") -> str:
    if traffic.pairing.kind == "split":
        return ""
    if not traffic.pairs:
        return "There is no pair of whole answers yet."
    if config.judge.kind == "none":
        return "Nobody compares the pairs: take a judge (judge=local, judge=openai)."
    return ""


def _judge(used: Used[Sections], traffic: "Traffic") -> "Judged":
    """Have the judge of the config compare the pairs; nothing is loaded for what it said before."""
    from loraflow.evaluate.judge.opening import Bench
    from loraflow.model.lend import ModelLender
    from loraflow.model.source import find_base
    from loraflow.plan.evaluation import who_judges
    from loraflow.serve.traffic.judging import judge_pairs

    config = _with_judge(used)
    model = config.judge.model or config.model
    base = find_base(model, config.quantization) if config.judge.kind == "local" else None
    lender = ModelLender()
    try:
        return judge_pairs(
            Bench(config.judge, base, lender, name=model.name),
            traffic.pairs,
            settings=who_judges(config, base),
            card_rows=config.judge.card_rows,
            folder=used.sections.serve.folder / "judged",
        )
    finally:
        lender.close()


def _with_judge(used: Used[Sections]) -> Config:
    """Return the config; where the base judges, it is the one that is served."""
    config = used.config
    if config.judge.kind != "local" or config.judge.model is not None:
        return config
    served = served_config(used, *find_given(used))
    return replace(config, model=served.model, quantization=served.quantization)


def _export(used: Used[Sections], out: Path) -> None:
    """Write feedback as preference data, and show what came of it."""
    from loraflow.serve.traffic.export import export_feedback
    from loraflow.serve.traffic.table import reading

    with reading(_log(used.sections.serve)) as table, _faults_of(out):
        found = export_feedback(table, out)
    _show_exported(found)


def _show_exported(found: "Exported") -> None:
    from rich.console import Console

    console = Console()
    lines = [
        f"{found.pairs:,} preference pairs    {found.pairs_file}",
        f"{found.up:,} good and {found.down:,} bad answers    {found.kto_file}",
        *(f"* left out: {count:,} ({reason})" for reason, count in found.left_out.items()),
    ]
    if found.pairs:
        lines += ["", f'make run ARGS="train=preference data=file data.path={found.pairs_file}"']
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


@contextmanager
def _faults_of(out: Path) -> Iterator[None]:
    """Name `out` in a fault of writing there."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"out={out} cannot be written: {error.strerror or error}; set out= to another folder"
        ) from error


def _forget(serve: ServeConfig, name: str) -> None:
    """Delete what one user asked, got and said."""
    from loraflow.serve.traffic.forget import forget_user

    if not name:
        raise UserError("forget= names nobody; forget=NAME, as the client sends it in `user`")
    found = forget_user(_log(serve), name, serve.traffic)
    sys.stdout.write(f"{found.requests:,} requests deleted; files made of them before stay\n")
    if found.others:
        sys.stdout.write(
            f"{found.others:,} requests have another serve.traffic.salt or an unknown one: run it "
            "again with each that was in use\n"
        )


def _log(serve: ServeConfig) -> Path:
    from loraflow.serve.traffic.table import LOG

    return serve.folder / LOG


_COMMANDS: Mapping[str, Callable[[Used[Sections], Path], None]] = {
    "ab": _show_test,
    "feedback": _export,
}  # each writes to the folder of its name in serve.folder

if __name__ == "__main__":
    main()
