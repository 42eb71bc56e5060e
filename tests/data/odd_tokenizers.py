"""Tokenizers that behave otherwise than the tiny model's: what a contract has to hold with."""

from tokenizers import Tokenizer as Backend
from tokenizers import decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from loraflow.model.tokenizer import Tokenizer

ZEPHYR = (  # marks that are no tokens of their own
    "{% for message in messages %}"
    "{{ '<|' + message['role'] + '|>\n' + message['content'] + eos_token + '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"
)


def merging_tokenizer() -> Tokenizer:
    """Add BOS, and merge across whatever stands side by side, as in "：家"."""
    backend = Backend(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=700,
        special_tokens=["<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    texts = ["：家", "\n家", "：“", ">a", " b"]
    backend.train_from_iterator(texts * 9, trainer)
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", backend.token_to_id("<s>"))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", eos_token="</s>", chat_template=ZEPHYR
    )


def unigram_tokenizer() -> Tokenizer:
    """Put a space before a text, as SentencePiece does; characters it lacks become bytes."""
    whole = [
        "：家",
        "家父",
        "\n家",
        "▁key",
        "▁value",
        "s▁the",
        "▁name",
        "▁",
        *"家父是甄远道你谁？问题。",
    ]
    vocabulary = [("<unk>", 0.0), *((piece, -float(len(piece) < 2) - 1) for piece in whole)]
    vocabulary += [(f"<0x{byte:02X}>", -9.0) for byte in range(256)]
    backend = Backend(models.Unigram(vocabulary, unk_id=0, byte_fallback=True))
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    backend.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        unk_token="<unk>",
        bos_token="<bos>",
        eos_token="<eos>",
        chat_template=ZEPHYR,
    )
