"""Makes a folder of safetensors out of a GGUF file, once."""

from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GenerationConfig


def convert_gguf(gguf: Path, out: Path) -> None:
    """De-quantize `gguf` to bfloat16 and write model and tokenizer to `out`.

    The loaded model's config keeps a `quantization_config`, with which `save_pretrained` refuses
    to write (transformers 5.23), so the tensors go into a model built from the cleaned config.
    """
    location = {"pretrained_model_name_or_path": gguf.parent, "gguf_file": gguf.name}
    loaded = AutoModelForCausalLM.from_pretrained(**location, dtype=torch.bfloat16)
    settings = AutoConfig.from_pretrained(**location).to_dict()
    settings.pop("quantization_config", None)
    config = type(loaded.config)(**settings)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model.load_state_dict(loaded.state_dict())
    model.tie_weights()  # lm_head shares the embedding where the config says so
    model.generation_config = GenerationConfig.from_model_config(config)
    model.save_pretrained(out)
    AutoTokenizer.from_pretrained(**location).save_pretrained(out)
