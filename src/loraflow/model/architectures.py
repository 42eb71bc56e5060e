"""Where each architecture keeps its matrices: the table behind the named sets of target modules."""

import re
from collections.abc import Collection
from dataclasses import dataclass

SETS = ("attention_qv", "attention", "mlp", "all_linear")

_ROUTERS = ("gate", "router", "shared_expert_gate")  # choose experts; no adapter changes a choice


@dataclass(frozen=True)
class Layout:
    """Regular expressions for the end of a module's name, by what the module does in a layer."""

    query_value: str  # queries and values; where q, k and v are one matrix: that
    key_value: str
    attention: str  # all projections into and out of attention
    mlp: str  # all matrices of the feed-forward part
    down: str  # the last of them, whose input IA3 scales

    @property
    def fuses_attention(self) -> bool:
        """Tell whether queries, keys and values come from one matrix."""
        return self.query_value == self.key_value


_GATED = "(gate|up|down)_proj"
_GATE_UP = {"mlp": "gate_up_proj|down_proj", "down": "down_proj"}
_BERT_MLP = {"mlp": r"intermediate\.dense|\d+\.output\.dense", "down": r"\d+\.output\.dense"}
_H_4H = {"mlp": "dense_h_to_4h|dense_4h_to_h", "down": "dense_4h_to_h"}
_C_MLP = {"mlp": r"mlp\.c_(fc|proj)", "down": r"mlp\.c_proj"}
_Q_K_V = {"query_value": "[qv]_proj", "key_value": "[kv]_proj"}
_ONE = {"query_value": "query_key_value", "key_value": "query_key_value"}
_QUERY = {"query_value": "query|value", "key_value": "key|value"}

_LAYOUTS = {
    "llama": Layout(**_Q_K_V, attention="[qkvo]_proj", mlp=_GATED, down="down_proj"),
    "deepseek": Layout(
        query_value="q_proj|q_b_proj|kv_b_proj",  # kv_b_proj makes keys and values of one vector
        key_value="kv_b_proj",
        attention="q_proj|q_[ab]_proj|kv_a_proj_with_mqa|kv_b_proj|o_proj",
        mlp=_GATED,
        down="down_proj",
    ),
    "phi3": Layout(
        "qkv_proj", "qkv_proj", "qkv_proj|o_proj", "gate_up_proj|down_proj", "down_proj"
    ),
    "glm": Layout(
        **_Q_K_V, attention="[qkvo]_proj", mlp="gate_up_proj|down_proj", down="down_proj"
    ),
    "phi": Layout(**_Q_K_V, attention=r"[qkv]_proj|self_attn\.dense", mlp="fc[12]", down="fc2"),
    "opt": Layout(**_Q_K_V, attention="[qkv]_proj|out_proj", mlp="fc[12]", down="fc2"),
    "gptj": Layout(**_Q_K_V, attention="[qkv]_proj|out_proj", mlp="fc_(in|out)", down="fc_out"),
    "gpt_neo": Layout(**_Q_K_V, attention="[qkv]_proj|out_proj", **_C_MLP),
    "starcoder2": Layout(**_Q_K_V, attention="[qkvo]_proj", **_C_MLP),
    "gpt_neox": Layout(**_ONE, attention=r"query_key_value|attention\.dense", **_H_4H),
    "bloom": Layout(**_ONE, attention=r"query_key_value|self_attention\.dense", **_H_4H),
    "gpt2": Layout("c_attn", "c_attn", r"attn\.c_(attn|proj)", **_C_MLP),
    "codegen": Layout("qkv_proj", "qkv_proj", "qkv_proj|out_proj", "fc_(in|out)", "fc_out"),
    "mpt": Layout("Wqkv", "Wqkv", "Wqkv|out_proj", r"ffn\.(up|down)_proj", "down_proj"),
    "baichuan": Layout("W_pack", "W_pack", "W_pack|o_proj", _GATED, "down_proj"),
    "internlm2": Layout("wqkv", "wqkv", r"attention\.(wqkv|wo)", r"feed_forward\.w[123]", "w2"),
    "bert": Layout(
        **_QUERY, attention=r"attention\.(self\.(query|key|value)|output\.dense)", **_BERT_MLP
    ),
    "deberta-v2": Layout(
        "(query|value)_proj",
        "(key|value)_proj",
        r"(query|key|value)_proj|attention\.output\.dense",
        **_BERT_MLP,
    ),
    "albert": Layout(
        **_QUERY,
        attention=r"attention\.(query|key|value|dense)",
        mlp="ffn|ffn_output",
        down="ffn_output",
    ),
    "distilbert": Layout(
        "[qv]_lin", "[kv]_lin", "[qkv]_lin|out_lin", r"ffn\.lin[12]", r"ffn\.lin2"
    ),
    "modernbert": Layout(
        r"attn\.Wqkv", r"attn\.Wqkv", r"attn\.W(qkv|o)", r"mlp\.W[io]", r"mlp\.Wo"
    ),
}

# architectures that name their matrices like one of the table above, by model_type of config.json
_SAME_AS = {
    "llama": (
        *("cohere", "cohere2", "ernie4_5", "exaone4", "gemma", "gemma2", "gemma3", "gemma3_text"),
        *(
            "gemma4",
            "gemma4_text",
            "gpt_oss",
            "granite",
            "granitemoe",
            "helium",
            "hunyuan_v1_dense",
        ),
        *("llama4", "llama4_text", "ministral", "mistral", "mixtral", "olmo", "olmo2", "olmo3"),
        *("olmoe", "phimoe", "qwen2", "qwen2_moe", "qwen3", "qwen3_moe", "qwen3_5_text"),
        *("qwen3_next", "seed_oss", "smollm3", "stablelm"),
    ),
    "deepseek": ("deepseek_v2", "deepseek_v3", "minicpm3"),
    "bert": ("camembert", "electra", "ernie", "roberta", "xlm-roberta"),
    "bloom": ("chatglm", "falcon", "RefinedWeb", "RefinedWebModel"),
    "glm": ("glm4",),
    "gpt2": ("gpt_bigcode",),
}
_MODEL_TYPES = {same: name for name, others in _SAME_AS.items() for same in others}
_ENCODERS = ("albert", "bert", "deberta-v2", "distilbert", "modernbert")  # have no cache
_ONE_KEY = ("falcon", "RefinedWeb", "RefinedWebModel")  # whose cache PEFT fills in a wrong shape

# PEFT 0.21 rewrites target modules of these: it takes any gate_proj, up_proj or down_proj, also of
# dense layers and shared experts, for the experts of old files
_REWRITTEN = {
    *("afmoe", "beam", "cohere2_moe", "deepseek_v2", "deepseek_v3", "deepseek_v32", "dots1"),
    *("ernie4_5_moe", "exaone_moe", "flex_olmo", "glm4_moe", "glm4_moe_lite", "glm4v_moe"),
    *("glm_moe_dsa", "hunyuan_v1_moe", "longcat_flash", "mellum", "olmoe", "qwen3_moe"),
    *("qwen3_next", "qwen3_omni_moe", "qwen3_omni_moe_text", "qwen3_omni_moe_thinker"),
    *("solar_open", "Dots3NoteTextModel", "UnlimitedOcrTextModel"),
}
_OF_EXPERTS = ("gate_proj", "up_proj", "down_proj")

# an architecture that is not in the table, read from the usual words in names
_ATTENTION = r"\w*(attn|attention)\w*\.(.+\.)?"
_FUSED = r"\w*[Qq][Kk][Vv]\w*|query_key_value|c_attn|W_pack"
_DERIVED = Layout(
    query_value=rf"{_ATTENTION}(w?[qv](_\w+)?|(query|value)(_\w+)?|{_FUSED})",
    key_value=rf"{_ATTENTION}(w?[kv](_\w+)?|(key|value)(_\w+)?|{_FUSED})",
    attention=rf"{_ATTENTION}\w+",
    mlp=r"\w*(mlp|ffn|feed_?forward|intermediate)\w*\.(.+\.)?\w+|fc_?\w+|lin\d|\d+\.output\.dense",
    down=r"\w*(down_proj|4h_to_h|fc2|fc_out|lin2)|mlp\.c_proj|(mlp|ffn|feed_?forward)\w*\.([Ww]o|w2)"
    r"|\d+\.output\.dense",
)


def layout_of(model_type: str) -> Layout:
    """Return where an architecture keeps its matrices: from the table, or from usual words."""
    return _LAYOUTS.get(_MODEL_TYPES.get(model_type, model_type), _DERIVED)


def is_in_table(model_type: str) -> bool:
    """Tell whether the architecture's names are known, not derived."""
    return _MODEL_TYPES.get(model_type, model_type) in _LAYOUTS


def takes_prefix(model_type: str) -> bool:
    """Tell whether PEFT can put keys and values into the architecture's cache."""
    layout = _MODEL_TYPES.get(model_type, model_type)
    return layout not in _ENCODERS and model_type not in _ONE_KEY


def taken_for_experts(modules: Collection[str], model_type: str) -> list[str]:
    """Return the modules that LoRA cannot sit beside, since PEFT would take the experts instead."""
    if model_type not in _REWRITTEN:
        return []
    return [module for module in modules if module.rpartition(".")[2] in _OF_EXPERTS]


def select(expression: str, modules: Collection[str]) -> list[str]:
    """Return the modules inside layers whose names end as `expression` says."""
    pattern = re.compile(rf"(?:.*\.)?(?:{expression})")
    return [name for name in modules if layer_of(name) is not None and pattern.fullmatch(name)]


def select_set(name: str, modules: Collection[str], model_type: str) -> list[str]:
    """Return the modules of a named set: one of SETS."""
    layout = layout_of(model_type)
    expressions = {
        "attention_qv": layout.query_value,
        "attention": layout.attention,
        "mlp": layout.mlp,
        "all_linear": ".+",
    }
    found = select(expressions[name], modules)
    return [module for module in found if module.rpartition(".")[2] not in _ROUTERS]


def layer_of(name: str) -> int | None:
    """Return the number of the layer that a module or parameter is in, None outside of layers.

    The first number in a name counts layers; later ones count experts.
    """
    found = re.search(r"\.(\d+)\.", f".{name}.")
    return int(found[1]) if found else None
