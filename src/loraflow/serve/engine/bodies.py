"""Models that passes run through, around one base in memory: adapters that mix, and others alone.

LoRA adapters share one. What cannot be mixed, such as DoRA, IA3, a LoRA that begins by changing the
base (PiSSA), or one of the output layer, which sees the last rows alone, gets a body of its own:
modules only, around the same weights.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from peft import PeftModel
from torch import Tensor

from loraflow.errors import UserError
from loraflow.files import read_json
from loraflow.model.load import CausalLM
from loraflow.model.share import share_weights
from loraflow.model.trained import adapter_of
from loraflow.serve.adapters.adapter import CONFIG, Adapter
from loraflow.serve.engine.fit import require_all, require_fit, shapes_of
from loraflow.serve.engine.forward import Segment, run_pass
from loraflow.serve.engine.memory import Memory, layers_of
from loraflow.serve.engine.mixing import Mixing, weights_of

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


class Alone:
    """A body for one adapter."""

    def __init__(self, causal_lm: CausalLM, folder: Path) -> None:
        """Put the adapter into the model."""
        self._peft = PeftModel.from_pretrained(causal_lm, folder).eval()
        self._causal_lm = self._peft.get_base_model()

    def weights(self) -> Iterable[str]:
        """Return the names of the adapter's weights, as PEFT saves them."""
        return weights_of(self._peft, self._peft.active_adapter)

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
            _require_rows(adapter, folder)
            require_fit(adapter, folder, self._base)
            body = self._attach(adapter, folder, Mixing(share_weights(self._base)))
            require_all(adapter, folder, body.weights())
            _require_numbers(adapter, body, layers_of(self._base))

    def load(self, adapter: Adapter) -> None:
        """Attach an adapter, unless it is there already; `try_on` has found no fault in it."""
        if adapter.folder is None or adapter.digest in self._loaded:
            return
        with _misfit_explained(adapter):
            body = self._attach(adapter, _folder(adapter), self._mixing)
        if isinstance(body, Alone):
            self._alone[adapter.digest] = body
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

    def _attach(self, adapter: Adapter, folder: Path, mixing: Mixing) -> Body:
        """Put an adapter into `mixing` if it can share passes, else into a body of its own."""
        if not _mixes(adapter, folder, self._base):
            return Alone(share_weights(self._base), folder)
        mixing.load(_name(adapter.digest), folder)
        return mixing


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


def _require_rows(adapter: Adapter, folder: Path) -> None:
    config = read_json(folder / CONFIG)
    peft_type = config["peft_type"]
    if peft_type in _BEFORE_THE_TEXT or config.get("alora_invocation_tokens"):
        raise UserError(
            f"{adapter.source} is an adapter of type {peft_type}, which puts vectors before the "
            "text; the server cannot batch it: train a LoRA instead"
        )


def _mixes(adapter: Adapter, folder: Path, causal_lm: CausalLM) -> bool:
    """Tell whether an adapter can share passes with others."""
    config = read_json(folder / CONFIG)
    is_plain = all(config.get(key, values[0]) in values for key, values in _PLAIN.items())
    head = causal_lm.get_output_embeddings()
    heads = [name for name, module in causal_lm.named_modules() if module is head]
    has_head = any(f".{name}." in weight for weight in shapes_of(adapter, folder) for name in heads)
    return config["peft_type"] == "LORA" and is_plain and not has_head


def _require_numbers(adapter: Adapter, body: Body, layers: int) -> None:
    """Run a pass over two answers, with the adapter and without."""
    tried = [Segment(Memory(layers, len(ids)), ids) for ids in ([1, 2, 3], [4])]
    if not body.run(tried, [_name(adapter.digest), ""]).isfinite().all():
        raise UserError(f"{adapter.source} puts out what is no number; train it again")


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
