"""The table of what goes with what: ways to train, tasks, quantization, and why not."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from loraflow.config import AdapterConfig, QuantizationConfig, TrainConfig

_TASKS = ("sft", "text", "preference", "classify")
_QUANTIZATIONS = ("none", "int8", "nf4", "fp4")


@dataclass(frozen=True)
class Way:
    """A way to train: a value of the section adapter, and what it does not go with."""

    key: str
    value: Any
    refuses: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    def is_chosen(self, adapter: AdapterConfig) -> bool:
        """Tell whether the config trains in this way."""
        chosen = getattr(adapter, self.key)
        return chosen is not None if self.value == "..." else bool(chosen == self.value)

    def __str__(self) -> str:
        """Return what one types on the command line."""
        return f"adapter.{self.key}={str(self.value).lower()}"


def _refuse(others: str, reason: str) -> dict[str, str]:
    return dict.fromkeys(others.split(), reason)


# what is refused was run with peft 0.21.2 and bitsandbytes 0.50.2 on a CPU: it failed, or the model
# was not the base before the first step
_WAYS = (
    Way("method", "lora"),
    Way("init_lora_weights", "gaussian"),
    Way(
        "init_lora_weights",
        "pissa",
        _refuse(
            "int8 nf4 fp4",
            "it moves the largest singular vectors from the base into the adapter, and a quantized "
            "base cannot be changed; set quantization=none, or loftq with 4 bits",
        ),
    ),
    Way(
        "init_lora_weights",
        "olora",
        _refuse(
            "int8 nf4 fp4",
            "it takes its first values out of the base, and quantizing the rest again moves the "
            "model (logits by 9 % in 4 bits, by 1 % in 8); set quantization=none, or loftq with 4 "
            "bits",
        ),
    ),
    Way(
        "init_lora_weights",
        "loftq",
        _refuse("none", "it repairs what quantization changed; set quantization=nf4")
        | _refuse("int8", "it is made for 4 bits; set quantization=nf4"),
    ),
    Way("init_lora_weights", "eva"),
    Way(
        "use_dora",
        True,
        _refuse(
            "int8",
            "it reads the base's weights at every step, and PEFT cannot read those that "
            "bitsandbytes multiplies in 8 bits; set quantization=nf4",
        ),
    ),
    Way("experts", "..."),
    Way("method", "adalora"),
    Way("method", "ia3"),
    Way("method", "prefix"),
    *(
        Way(
            "method",
            name,
            _refuse(
                "classify",
                "a classifier reads its answer at a text's last token, which it finds among the "
                "ids; behind learned vectors it reads the padding; set adapter=prefix or "
                "adapter=lora",
            ),
        )
        for name in ("prompt", "p_tuning")
    ),
    Way(
        "method",
        "full",
        _refuse("int8 nf4 fp4", "quantized weights cannot be trained; set quantization=none"),
    ),
    Way(
        "method",
        "head_only",
        _refuse(
            "sft text preference",
            "only a classifier has a head of its own; set train=classify, or adapter=none",
        ),
    ),
    Way("method", "none"),
)

# section -> keys that do nothing unless they differ from this value, and the methods that read them
_READ_BY: Mapping[str, Mapping[str, tuple[Any, tuple[str, ...]]]] = {
    "adapter": {
        "dropout": (0.0, ("lora", "adalora")),
        "layers_to_transform": (None, ("lora", "adalora", "ia3")),
        "rank_pattern": ({}, ("lora",)),
        "init_lora_weights": ("default", ("lora",)),
        "use_dora": (False, ("lora",)),
        "experts": (None, ("lora",)),
    },
    "train": {
        "loraplus_lr_ratio": (None, ("lora", "adalora")),  # of the matrices A and B
        "progressive": (None, ("lora", "ia3", "full")),  # whose parameters are each layer's own
    },
}

_LARGEST_RATIO = 16  # a scale above is an alpha that was meant to be divided by r
_NOT_CONTINUED = {
    "adalora": "ranks that were taken away do not come back; set adapter=lora",
    "p_tuning": "of its network only the result is kept; set adapter=prompt",
    "full": "it leaves a whole model; train in two experiments, the second with model=folder "
    "model.location=THE FIRST ONE'S out/model",
    "head_only": "it leaves a whole model; train once",
}


def method_faults(
    adapter: AdapterConfig, quantization: QuantizationConfig, trainings: Mapping[str, TrainConfig]
) -> Iterator[str]:
    """Yield what does not go together, each with key, value, reason and fix.

    Args:
        adapter: what is trained
        quantization: how the base is held
        trainings: the key of each training's section -> the section, in order
    """
    yield from _table_faults(adapter, quantization, trainings)
    yield from _ignored(adapter.method, "adapter", adapter)
    yield from _lora_faults(adapter)
    if quantization.double_quant and quantization.method in ("none", "int8"):
        yield (
            f"quantization.double_quant=true does nothing with quantization.method="
            f"{quantization.method}; set quantization.double_quant=false"
        )
    for key, train in trainings.items():
        yield from _ignored(adapter.method, key, train)
        yield from _training_faults(adapter, key, train)
    if len(trainings) > 1:
        yield from continued_faults(adapter, "an earlier training (before)")


def continued_faults(adapter: AdapterConfig, start: str) -> Iterator[str]:
    """Yield why a training cannot go on from `start`, something that an earlier one left."""
    if adapter.method in _NOT_CONTINUED:
        yield (
            f"adapter.method={adapter.method} cannot go on from {start}: "
            f"{_NOT_CONTINUED[adapter.method]}"
        )


def neutral_settings(method: str) -> dict[str, dict[str, Any]]:
    """Return what a method does not read of a section, as section -> key -> value.

    Each key has the value that does nothing.
    """
    return {
        section: {key: neutral for key, (neutral, readers) in keys.items() if method not in readers}
        for section, keys in _READ_BY.items()
    }


def methods_markdown() -> str:
    """Return the table for the documentation, refusals numbered and explained below it."""
    reasons = list(dict.fromkeys(reason for way in _WAYS for reason in way.refuses.values()))
    columns = (*_TASKS, *_QUANTIZATIONS)
    lines = ["| |" + "".join(f" {name} |" for name in columns), "|---" * (len(columns) + 1) + "|"]
    for way in _WAYS:
        cells = [
            f"no ({reasons.index(way.refuses[name]) + 1})" if name in way.refuses else "yes"
            for name in columns
        ]
        lines.append(f"| `{way}` | " + " | ".join(cells) + " |")
    notes = [f"{number}. {reason}" for number, reason in enumerate(reasons, 1)]
    return "\n".join([*lines, "", *notes]) + "\n"


def _table_faults(
    adapter: AdapterConfig, quantization: QuantizationConfig, trainings: Mapping[str, TrainConfig]
) -> Iterator[str]:
    others: list[tuple[str, str]] = [("quantization.method", quantization.method)]
    others += [(f"{key}.task", train.task) for key, train in trainings.items()]
    for way in filter(lambda way: way.is_chosen(adapter), _WAYS):
        for key, value in others:
            if value in way.refuses:
                yield f"{way} does not go with {key}={value}: {way.refuses[value]}"


def _ignored(method: str, where: str, section: AdapterConfig | TrainConfig) -> Iterator[str]:
    """Yield what is set in a section, called `where`, though the method does not read it."""
    kind = where.rpartition(".")[2]
    for key, neutral in neutral_settings(method)[kind].items():
        value = getattr(section, key)
        if value != neutral:
            shown = "null" if neutral is None else str(neutral).lower()
            readers = ", ".join(_READ_BY[kind][key][1])
            yield (
                f"{where}.{key}={value} does nothing with adapter.method={method}: it is for "
                f"{readers}; set {where}.{key}={shown}"
            )


def _lora_faults(adapter: AdapterConfig) -> Iterator[str]:
    """Rules inside the section."""
    if adapter.method not in ("lora", "adalora"):
        return
    if adapter.alpha_mode == "ratio" and adapter.alpha > _LARGEST_RATIO:
        yield (
            f"adapter.alpha={adapter.alpha} with adapter.alpha_mode=ratio is the scale itself, "
            f"whatever r; set adapter.alpha_mode=fixed to divide it by r, or an alpha of at most "
            f"{_LARGEST_RATIO}"
        )
    if adapter.method == "adalora" and adapter.alpha_mode == "rslora":
        yield (
            "adapter.alpha_mode=rslora does nothing with adapter.method=adalora, which divides by "
            "its first rank; set adapter.alpha_mode=ratio"
        )
    for key in ("experts", "layers_to_transform"):
        if getattr(adapter, key) == []:
            yield f"adapter.{key}=[] names none; set adapter.{key}=null or numbers"
    yield from _value_faults(adapter)
    if adapter.experts is not None:
        yield from _expert_faults(adapter)


def _value_faults(adapter: AdapterConfig) -> Iterator[str]:
    values = adapter.init_lora_weights
    if values == "eva" and adapter.rank_pattern:
        yield (
            "adapter.rank_pattern does not go with adapter.init_lora_weights=eva, which spreads "
            "the ranks itself; drop one of them"
        )
    if values == "loftq" and adapter.use_dora:
        yield (
            "adapter.use_dora=true does not go with adapter.init_lora_weights=loftq, which changes "
            "the weights whose magnitude DoRA has read; drop one of them"
        )


def _expert_faults(adapter: AdapterConfig) -> Iterator[str]:
    refused = {
        "dropout": (adapter.dropout != 0, "0: the update is added to the stacked weights"),
        "use_dora": (adapter.use_dora, "false: PEFT has no DoRA for stacked weights"),
        "rank_pattern": (bool(adapter.rank_pattern), "{}: all experts have rank r"),
        "init_lora_weights": (
            adapter.init_lora_weights not in ("default", "gaussian"),
            "default: the others read one matrix, and the experts' are stacked",
        ),
    }
    for key, (is_set, fix) in refused.items():
        if is_set:
            yield (
                f"adapter.{key}={getattr(adapter, key)} does not go with "
                f"adapter.experts={adapter.experts}; set adapter.{key}={fix}"
            )


def _training_faults(adapter: AdapterConfig, key: str, train: TrainConfig) -> Iterator[str]:
    if adapter.method == "adalora" and train.processes > 1:
        yield (
            f"{key}.processes={train.processes} does not go with adapter.method=adalora, whose "
            f"processes would each take other ranks away; set {key}.processes=1"
        )
    if train.progressive is not None and len(train.progressive) < 2:  # noqa: PLR2004 - low and high
        yield (
            f"{key}.progressive={train.progressive} is one group, all layers; "
            f"set {key}.progressive=[1,1] or null"
        )
    if adapter.method == "prefix" and train.speed.activation_checkpointing is True:
        yield (
            f"{key}.speed.activation_checkpointing=true does not go with adapter.method=prefix, "
            "whose keys and values would be added a second time; set it to false"
        )
