"""What a training would take, before anything is loaded: memory by part, and roughly the time.

python -m flows.estimate adapter.r=64 train.per_device_train_batch_size=16
"""

from dataclasses import replace
from typing import TYPE_CHECKING

from flows.command import run_command
from loraflow.config import Config
from loraflow.model.source import BaseModel

if TYPE_CHECKING:
    from loraflow.estimate.shapes import Training


def main() -> None:
    """Read the command line, estimate each training, show what fits."""
    run_command(_run)


def _run(config: Config) -> None:
    from loraflow.estimate.architecture import find_architecture
    from loraflow.estimate.decisions import decide_training
    from loraflow.estimate.machine import this_machine
    from loraflow.estimate.proposals import require_room
    from loraflow.estimate.published import published_table
    from loraflow.estimate.seconds import seconds_of_a_step
    from loraflow.estimate.terminal import show_estimate, show_published

    base = find_architecture(config.model, config.quantization)
    trainings, machine = trainings_of(config, base), this_machine()
    decided = {name: decide_training(training, machine) for name, training in trainings.items()}
    show_published(published_table(config.adapter, config.train), config.train.max_length)
    for name, decisions in decided.items():
        saves = decisions.activation_checkpointing
        seconds = seconds_of_a_step(replace(trainings[name], checkpointing=saves))
        show_estimate(name or config.model.name, decisions, machine, seconds)
    require_room(decided, trainings, machine)


def trainings_of(config: Config, base: BaseModel) -> "dict[str, Training]":
    """Return the shapes of all trainings of an experiment, the last one under an empty name."""
    from loraflow.estimate.shapes import training_of

    parts = {name: part.train for name, part in config.before.items()} | {"": config.train}
    return {name: training_of(base, config.adapter, train) for name, train in parts.items()}


if __name__ == "__main__":
    main()
