"""Models that passes run through, around one base in memory: adapters that mix, and others alone.

LoRA adapters share a body, in which every row of a pass has its own adapter or none. What cannot be
mixed, such as DoRA, IA3, or a LoRA that begins by changing the base
(PiSSA), gets a body of its own: modules only, around the same weights.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel, get_peft_model_state_dict
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn

from loraflow.errors import UserError
from loraflow.files import read_json
from loraflow.model.load import CausalLM
from loraflow.model.share import share_weights
from loraflow.model.trained import adapter_of
from loraflow.serve.adapters.adapter import CONFIG, Adapter
from loraflow.serve.engine.fit import require_all, require_fit
from loraflow.serve.engine.forward import Segment, rows_of, run_pass
from loraflow.serve.engine.stacked import Rows, StackedLora

_NONE = "__base__"  # PEFT's name for a row without an adapter
_PLAIN = {  # what a LoRA that mixes has in its config; a setting that is missing is plain
    "bias": ("none",),
    "use_dora": (False,),
    "init_lora_weights": (True, False, "gaussian", "eva"),
    "modules_to_save": (None, []),
    "trainable_token_indices": (None,),
    "target_parameters": (None, []),
    "layer_replication": (None,),
    "lora_bias": (False,),
    "use_qalora": (False,),
}
_BEFORE_THE_TEXT = ("PROMPT_TUNING", "MULTITASK_PROMPT_TUNING", "P_TUNING", "PREFIX_TUNING", "CPT")


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
            self._stacked = self._rows.adapters
            for layer in filter(None, self._layers.values()):
                layer.stack(sorted(self._stacked))
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


class Alone:
    """A body for one adapter."""

    def __init__(self, causal_lm: CausalLM, folder: Path) -> None:
        """Put the adapter into the model."""
        self._causal_lm = PeftModel.from_pretrained(causal_lm, folder).eval().get_base_model()

    def run(self, segments: Sequence[Segment], _: Sequence[str]) -> Tensor:
        """Run a pass."""
        return run_pass(self._causal_lm, segments)


Body = Mixing | Alone


class Bodies:
    """All bodies around one base."""

    def __init__(self, causal_lm: CausalLM) -> None:
        """Take the base, prepared; its weights are shared and never changed."""
        self._base = causal_lm
        self._mixing = Mixing(share_weights(causal_lm))
        self._alone: dict[str, Alone] = {}
        self._loaded: dict[str, Adapter] = {}

    def try_on(self, adapter: Adapter) -> None:
        """Attach an adapter to a body that is thrown away: one that fails half-way harms nobody.

        May be called in any thread, while others answer.

        Raises:
            UserError: if it belongs to another model, is damaged, or cannot be served.
        """
        if adapter.folder is None or adapter.digest in self._loaded:
            return
        with _misfit_explained(adapter):
            folder = _folder(adapter)
            kind = _kind(adapter, folder)
            require_fit(adapter, folder, self._base)
            body = PeftModel.from_pretrained(share_weights(self._base), folder)
            if kind == "mixing":
                require_all(adapter, folder, get_peft_model_state_dict(body))

    def load(self, adapter: Adapter) -> None:
        """Attach an adapter, unless it is there already; `try_on` has found no fault in it."""
        if adapter.folder is None or adapter.digest in self._loaded:
            return
        with _misfit_explained(adapter):
            folder = _folder(adapter)
            if _kind(adapter, folder) == "mixing":
                self._mixing.load(_name(adapter.digest), folder)
            else:
                self._alone[adapter.digest] = Alone(share_weights(self._base), folder)
        self._loaded[adapter.digest] = adapter

    def unload(self, digest: str) -> None:
        """Detach an adapter that nobody uses any more."""
        if self._loaded.pop(digest, None) is not None and self._alone.pop(digest, None) is None:
            self._mixing.unload(_name(digest))

    def body(self, digest: str) -> Body:
        """Return what answers with this adapter."""
        return self._alone.get(digest, self._mixing)

    def row_name(self, digest: str) -> str:
        """Return what PEFT calls the adapter in a pass; empty for the base alone."""
        return _name(digest) if digest in self._loaded else ""


def _name(digest: str) -> str:
    return f"adapter_{digest[:16]}"  # a letter first, and no dots: it names modules


def _folder(adapter: Adapter) -> Path:
    folder = None if adapter.folder is None else adapter_of(adapter.folder)
    if folder is None:
        raise UserError(
            f"{adapter.source} is a whole model, not an adapter; serve it as the base: "
            "model=folder model.location=FOLDER"
        )
    return folder


def _kind(adapter: Adapter, folder: Path) -> str:
    config = read_json(folder / CONFIG)
    peft_type = config["peft_type"]
    if peft_type in _BEFORE_THE_TEXT or config.get("alora_invocation_tokens"):
        raise UserError(
            f"{adapter.source} is an adapter of type {peft_type}, which puts vectors before the "
            "text; the server cannot batch it: train a LoRA instead"
        )
    is_plain = all(config.get(key, values[0]) in values for key, values in _PLAIN.items())
    return "mixing" if peft_type == "LORA" and is_plain else "alone"


@contextmanager
def _misfit_explained(adapter: Adapter) -> Iterator[None]:
    try:
        with torch.no_grad():
            yield
    except UserError:
        raise
    except Exception as error:  # whatever PEFT makes of files that others wrote
        raise UserError(
            f"{adapter.source} cannot be put on this base: {type(error).__name__}: "
            f"{str(error).strip()[:200]}; fetch or train it again, or set model=... to that of its "
            "training"
        ) from error
