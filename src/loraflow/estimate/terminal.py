"""Shows an estimate in the terminal: memory by part, what would fit, and the table for Llamas."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from loraflow.estimate.decisions import Decisions
from loraflow.estimate.machine import Machine
from loraflow.estimate.memory import GIB
from loraflow.estimate.published import Line


def show_estimate(title: str, decisions: Decisions, machine: Machine, seconds: float) -> None:
    """Print the memory of one training by part, beside the machine's."""
    estimate = decisions.estimate
    console = Console()
    console.print(f"\n[bold]{title}[/]: memory at the worst moment")
    table = Table()
    table.add_column("part")
    table.add_column("GiB", justify="right")
    for part, gib in estimate.parts.items():
        table.add_row(part, f"{gib:.2f}")
    table.add_section()
    table.add_row("together", f"{estimate.total_gib:.2f}")
    table.add_row(f"{machine.kind} free now", f"{machine.free / GIB:.2f}")
    table.add_row(f"{machine.kind} in all", f"{machine.total / GIB:.2f}")
    console.print(table)
    choices = {
        "activations computed twice": decisions.activation_checkpointing,
        "a quantized base unpacked once": decisions.keep_dequantized,
    }
    chosen = [name for name, is_chosen in choices.items() if is_chosen]
    console.print(f"chosen for this machine: {', '.join(chosen) or 'nothing to save memory'}")
    console.print(f"an optimizer step of full rows: roughly {seconds:.0f} s\n")


def show_published(lines: Sequence[Line], length: int) -> None:
    """Print the table for Llamas."""
    console = Console()
    console.print(
        f"[bold]Llama[/]: r = 8 on q and v, one row of {length} tokens at a time, activations "
        "computed twice; GiB on a GPU"
    )
    table = Table()
    for name in ("model", "LoRA, bfloat16", "QLoRA, NF4", "often quoted, GB"):
        table.add_column(name, justify="right")
    for line in lines:
        quoted = f"{line.quoted_lora} / {line.quoted_qlora}"
        table.add_row(line.model, f"{line.lora:.1f}", f"{line.qlora:.1f}", quoted)
    console.print(table)
