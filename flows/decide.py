"""A night's decision once more, from its record, and whether the same comes out.

python -m flows.decide record=FOLDER_OR_FILE [gate=strict gate.margin=0.02 ...]
python -m flows.decide run=MLFLOW_RUN_ID
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from flows.command import CONF, explained, run_command, shows_help
from loraflow.check import load_sections
from loraflow.config import Config
from loraflow.config.nightly import GateConfig
from loraflow.errors import UserError

if TYPE_CHECKING:
    from loraflow.promote.gate.decision import Decision
    from loraflow.promote.gate.saved import Saved

DIFFERS = 1  # exit status


@dataclass(frozen=True)
class _Sections:
    gate: GateConfig


def main() -> None:
    """Read the command line, decide again, show it; exit with 1 if it is not what was recorded."""
    if shows_help(__doc__):
        return
    wish, changes = _take_wish()
    run_command(lambda config: _run(config, wish, changes))


def _take_wish() -> tuple[dict[str, str], list[str]]:
    """Take record=, run= and what changes the gate off the command line; the rest is Hydra's."""
    wish: dict[str, str] = {}
    changes, rest = [], []
    for word in sys.argv[1:]:
        key, _, value = word.partition("=")
        if key in ("record", "run"):
            wish[key] = value
        elif key.partition(".")[0] == "gate":
            changes.append(word)
        else:
            rest.append(word)
    sys.argv[1:] = rest
    return wish, changes


def _run(config: Config, wish: Mapping[str, str], changes: Sequence[str]) -> None:
    from loraflow.promote.gate.decide import decide
    from loraflow.promote.gate.saved import differing

    saved = _read(config, wish)
    decision = decide(saved.evidence, _changed(saved.gate, changes))
    differences = differing(saved.decision, decision)
    _show(decision, differences)
    if differences and not changes:
        sys.exit(DIFFERS)


def _read(config: Config, wish: Mapping[str, str]) -> "Saved":
    from loraflow.promote.gate.saved import read_decision

    if record := wish.get("record"):
        return read_decision(Path(record).expanduser())
    if run := wish.get("run"):
        from loraflow.tracking.decision import fetch_decision

        return fetch_decision(config.tracking, run)
    raise UserError(
        "neither record= nor run= says which decision; make decide "
        'ARGS="record=FOLDER" or ARGS="run=RUN_ID"'
    )


def _changed(gate: GateConfig, changes: Sequence[str]) -> GateConfig:
    """Return the recorded settings with the changes: gate=NAME for all of them, gate.KEY=VALUE."""
    choice = [word for word in changes if word.startswith("gate=")]
    single = [word for word in changes if word not in choice]
    with explained():
        settings = OmegaConf.create({"gate": asdict(gate)})
        if choice:
            with initialize_config_dir(str(CONF), version_base="1.3"):
                settings = compose(overrides=[f"+{word}" for word in choice])
        merged = OmegaConf.to_container(OmegaConf.merge(settings, OmegaConf.from_dotlist(single)))
    return load_sections(_Sections, cast(dict[str, Any], merged)).gate


def _show(decision: "Decision", differences: Sequence[str]) -> None:
    from rich.console import Console
    from rich.markdown import Markdown

    from loraflow.promote.gate.markdown import as_markdown

    console = Console()
    console.print(Markdown(as_markdown(decision)))
    verdict = "It differs from the recorded decision:" if differences else "Equal to the record."
    for line in ["", verdict, *(f"* {difference}" for difference in differences)]:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


if __name__ == "__main__":
    main()
