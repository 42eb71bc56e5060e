"""The body that LoRA adapters share: every row of a pass has its own adapter, or none."""

from collections.abc import Iterable, Sequence
from itertools import chain, repeat
from pathlib import Path
from typing import Any

from peft import PeftModel, get_peft_model_state_dict
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn

from loraflow.model.load import CausalLM
from loraflow.serve.engine.forward import Segment, rows_of, run_pass
from loraflow.serve.engine.stacked import Rows, StackedLora

_NONE = "__base__"  # PEFT's name for a row without an adapter


class Mixing:
    """The base, and every LoRA adapter that can share a pass with others."""

    def __init__(self, causal_lm: CausalLM) -> None:
        """Take a model that `forward.prepare` has prepared; adapters are put into it."""
        self._causal_lm = causal_lm
        self._peft: Any = None  # a PeftModel, from the first adapter on
        self._layers: dict[LoraLayer, StackedLora | None] = {}
        self._stacked: frozenset[str] = frozenset()  # adapters
        self._rows = Rows([])  # of the pass that runs

    def load(self, name: str, folder: Path) -> None:
        """Put an adapter in, beside those that are there."""
        if self._peft is None:
            self._peft = PeftModel.from_pretrained(self._causal_lm, folder, adapter_name=name)
        else:
            self._peft.load_adapter(folder, adapter_name=name)
        self._peft.eval()
        for module in self._causal_lm.modules():
            if isinstance(module, LoraLayer) and module not in self._layers:
                self._layers[module] = self._take_over(module)

    def weights(self) -> Iterable[str]:
        """Return the names of the newest adapter's weights, as PEFT saves them."""
        return weights_of(self._peft, list(self._peft.peft_config)[-1])

    def unload(self, name: str) -> None:
        """Take an adapter out; the last one stays, since PEFT needs one, and is not used."""
        others = [other for other in self._peft.peft_config if other != name]
        if others:
            self._peft.set_adapter(others[0])  # rows choose theirs; PEFT wants one to be active
            self._peft.delete_adapter(name)
            self._stacked = frozenset()  # what was stacked may have had it

    def run(self, segments: Sequence[Segment], names: Sequence[str]) -> Tensor:
        """Run a pass with an adapter (empty: none) for each segment."""
        counts = [len(segment.tokens) for segment in segments]
        nobodys = rows_of(sum(counts)) - sum(counts)
        self._rows = Rows(list(chain.from_iterable(map(repeat, [*names, ""], [*counts, nobodys]))))
        if not self._rows.adapters <= self._stacked:
            self._stacked = frozenset()  # should it fail half-way
            for layer in filter(None, self._layers.values()):
                layer.stack(sorted(self._rows.adapters))
            self._stacked = self._rows.adapters
        return run_pass(self._causal_lm, segments)

    def _take_over(self, layer: LoraLayer) -> StackedLora | None:
        """Give each row of a layer its adapter: by stacks if it is linear, else by PEFT."""
        is_linear = isinstance(layer.get_base_layer(), nn.Linear)
        names = self._no_names if is_linear else self._row_names
        layer.register_forward_pre_hook(names, with_kwargs=True)
        return StackedLora(layer, lambda: self._rows) if is_linear else None

    def _row_names(self, _: Any, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        return args, {**kwargs, "adapter_names": [name or _NONE for name in self._rows.names]}

    def _no_names(self, _: Any, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        return args, {**kwargs, "adapter_names": [_NONE] * len(self._rows.names)}


def weights_of(peft: PeftModel, name: str) -> Iterable[str]:
    """Return the names of an adapter's weights, as PEFT saves them."""
    weights: dict[str, Tensor] = get_peft_model_state_dict(
        peft, adapter_name=name, save_embedding_layers=False
    )
    return weights.keys()
