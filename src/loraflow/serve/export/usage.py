"""How an export is loaded: with transformers, PEFT, vLLM or llama.cpp, as a card shows it."""

from loraflow.config import ExportConfig
from loraflow.serve.export.bases import argument
from loraflow.serve.export.subject import Subject
from loraflow.serve.export.write import GGUF

_VLLM_RANKS = (8, 16, 32, 64, 128, 256, 512)  # values of --max-lora-rank

_ASK = """\
messages = [{"role": "user", "content": "..."}]
inputs = tokenizer.apply_chat_template(
    messages, add_generation_prompt=True, return_dict=True, return_tensors="pt"
).to(model.device)
output = model.generate(**inputs, max_new_tokens=256, do_sample=False%s)
print(tokenizer.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))"""


def usage_markdown(subject: Subject, export: ExportConfig, name: str) -> str:
    """Return Markdown; `name` is the folder's."""
    if export.kind == "gguf":
        return f"```sh\nllama-cli -m {name}/{GGUF} -cnv\nllama-server -m {name}/{GGUF} --jinja\n```"
    if export.kind == "merged":
        return f"{_transformers(name)}\n\n```sh\nvllm serve {name}\n```"
    return f"{_peft(subject, name)}\n\n{_vllm_adapter(subject, name)}"


def _transformers(name: str) -> str:
    return f"""\
```python
from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("{name}")
model = AutoModelForCausalLM.from_pretrained("{name}", dtype="auto")
{_ASK % ""}
```"""


def _peft(subject: Subject, name: str) -> str:
    held, more = _held(subject)
    return f"""\
```python
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer{more}

tokenizer = AutoTokenizer.from_pretrained("{name}")
base = AutoModelForCausalLM.from_pretrained("{argument(subject.config.model)}"{held})
model = PeftModel.from_pretrained(base, "{name}")
{_ASK % f", eos_token_id={subject.stop}"}
```"""


def _held(subject: Subject) -> tuple[str, str]:
    """Return the argument that holds the base as in training, and what it imports."""
    quantization = subject.base.quantization
    if quantization.method == "none":
        return ', dtype="auto"', ""
    if quantization.method == "int8":
        options = "load_in_8bit=True"
    else:
        options = (
            f'load_in_4bit=True, bnb_4bit_quant_type="{quantization.method}", '
            f"bnb_4bit_use_double_quant={quantization.double_quant}"
        )
    return f", quantization_config=BitsAndBytesConfig({options})", ", BitsAndBytesConfig"


def _vllm_adapter(subject: Subject, name: str) -> str:
    settings = subject.peft_settings
    if settings["peft_type"] != "LORA" or settings.get("use_dora"):
        kind = "DoRA" if settings.get("use_dora") else settings["peft_type"]
        return f"vLLM loads plain LoRA only, not {kind}: for it, export with `export=merged`."
    highest = max([settings["r"], *settings.get("rank_pattern", {}).values()])
    rank = next((size for size in _VLLM_RANKS if size >= highest), highest)
    return f"""\
```sh
vllm serve {argument(subject.config.model)} --enable-lora --max-lora-rank {rank} \\
  --lora-modules {name}={name} --chat-template {name}/chat_template.jinja
```"""
