"""What the model is trained behind is, to the token, what it is asked with."""

import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf
from pydantic import TypeAdapter
from transformers import PreTrainedTokenizerFast

from flows.command import CONF
from loraflow.config import TemplateConfig
from loraflow.data.records import Message, is_learned
from loraflow.data.template import IGNORED, Example, Template
from loraflow.errors import UserError
from loraflow.model.source import BaseModel
from loraflow.model.tokenizer import Tokenizer, load_tokenizer
from tests.data.odd_tokenizers import merging_tokenizer, unigram_tokenizer

NAMES = sorted(path.stem for path in (CONF / "template").glob("*.yaml"))
CONVERSATION: tuple[Message, ...] = (
    {"role": "system", "content": "你是甄嬛。"},
    {"role": "user", "content": "你是谁？"},
    {"role": "assistant", "content": "家父是大理寺少卿甄远道。"},
)
CONVERSATIONS: dict[str, tuple[Message, ...]] = {
    "one_turn": CONVERSATION[1:],
    "system": CONVERSATION,
    "turns": (
        *CONVERSATION,
        {"role": "user", "content": "What is the name of the file?"},
        {"role": "assistant", "content": "  key value\n"},
        {"role": "user", "content": "问题"},
        {"role": "assistant", "content": "家"},
    ),
    "tool": (
        {"role": "user", "content": "你是谁？"},
        {"role": "assistant", "content": "path"},
        {"role": "tool", "content": '{"name": "甄远道"}'},
        {"role": "tool", "content": "家父"},
        {"role": "assistant", "content": "家父是甄远道。"},
    ),
    "context": (
        *CONVERSATION[:2],
        {**CONVERSATION[2], "learn": False},
        {"role": "user", "content": "问题"},
        {"role": "assistant", "content": "家父"},
    ),
}
THINKING = (  # as Qwen3: the last answer has thoughts before it, earlier ones have lost theirs
    "{% for m in messages %}{{ '<' + m['role'] + '>' }}"
    "{% if loop.last and m['role'] == 'assistant' %}{{ '<think></think>' }}{% endif %}"
    "{{ m['content'] + eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<assistant><think></think>' }}{% endif %}"
)


@pytest.fixture
def tokenizer(tiny_base: BaseModel) -> Tokenizer:
    return load_tokenizer(tiny_base)


@pytest.fixture(scope="module")
def tokenizers(tiny_folder: Path) -> dict[str, Tokenizer]:
    return {
        "byte_level": PreTrainedTokenizerFast.from_pretrained(tiny_folder),
        "merging": merging_tokenizer(),
        "unigram": unigram_tokenizer(),
    }


def bind(name: str, tokenizer: Tokenizer) -> Template:
    values = OmegaConf.to_container(OmegaConf.load(CONF / "template" / f"{name}.yaml"))
    template = TypeAdapter(TemplateConfig).validate_python(values)
    return Template(template, tokenizer, [tokenizer.eos_token_id])


def learned_runs(example: Example) -> list[tuple[int, int]]:
    """Return (begin, end) of what is learned in one go."""
    marks = [False, *(label != IGNORED for label in example.labels), False]
    edges = [at for at in range(len(marks) - 1) if marks[at] != marks[at + 1]]
    return list(zip(edges[::2], edges[1::2], strict=True))


def require_contract(template: Template, tokenizer: Tokenizer, messages: Sequence[Message]) -> None:
    """Every answer to learn, and nothing else, is learned behind the tokens that ask for it."""
    example = template.example(messages)
    answers = [index for index, message in enumerate(messages) if is_learned(message)]
    runs = learned_runs(example)
    assert len(runs) == len(answers)
    assert example.turns_not_learned == 0
    assert example.input_ids[: len(template.prompt_ids(messages[:-1]))] == template.prompt_ids(
        messages[:-1]
    )
    for index, (begin, end) in zip(answers, runs, strict=True):
        assert example.input_ids[:begin] == template.prompt_ids(messages[:index])
        assert example.labels[begin:end] == example.input_ids[begin:end]
        assert example.labels[end - 1] == tokenizer.eos_token_id
        text = tokenizer.decode(example.labels[begin : end - 1]).removesuffix("<|im_end|>")
        assert text.strip() == messages[index]["content"].strip()
    assert runs[-1][1] == len(example.labels)


@pytest.mark.parametrize("conversation", CONVERSATIONS)
@pytest.mark.parametrize("model", ["byte_level", "merging", "unigram"])
@pytest.mark.parametrize("name", NAMES)
def test_contract_of_every_template_with_every_tokenizer(
    name: str, model: str, conversation: str, tokenizers: dict[str, Tokenizer]
) -> None:
    tokenizer = tokenizers[model]
    require_contract(bind(name, tokenizer), tokenizer, CONVERSATIONS[conversation])


TEXTS = st.text(st.sampled_from("家父是：。“\n ab<|>/s"))
MESSAGES = st.fixed_dictionaries(
    {
        "role": st.sampled_from(["assistant", "user", "tool", "system"]),
        "content": TEXTS,
        "learn": st.booleans(),
    }
)


@pytest.mark.parametrize("model", ["byte_level", "merging"])
@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=60, deadline=None, derandomize=True)
@given(middle=st.lists(MESSAGES, max_size=5), question=TEXTS, answer=TEXTS)
def test_contract_holds_whatever_is_said(
    name: str,
    model: str,
    question: str,
    middle: list[Message],
    answer: str,
    tokenizers: dict[str, Tokenizer],
) -> None:
    first, last = {"role": "user", "content": question}, {"role": "assistant", "content": answer}
    require_contract(bind(name, tokenizers[model]), tokenizers[model], [first, *middle, last])


@pytest.mark.parametrize("model", ["merging", "unigram"])
def test_these_tokenizers_do_merge_across_the_border(
    model: str, tokenizers: dict[str, Tokenizer]
) -> None:
    def ids(text: str) -> list[int]:
        return list(tokenizers[model](text, add_special_tokens=False)["input_ids"])

    assert ids("回答：家父")[: len(ids("回答："))] != ids("回答：")


@pytest.mark.parametrize("conversation", CONVERSATIONS)
@pytest.mark.parametrize("model", ["byte_level", "merging", "unigram"])
def test_tokenizing_apart_adds_no_character(
    model: str, conversation: str, tokenizers: dict[str, Tokenizer]
) -> None:
    tokenizer, messages = tokenizers[model], CONVERSATIONS[conversation]
    plain = [{"role": part["role"], "content": part["content"]} for part in messages]
    at_once = tokenizer.apply_chat_template(plain, tokenize=True, return_dict=False)
    example = bind("native", tokenizer).example(messages)
    text = tokenizer.decode(at_once)
    assert tokenizer.decode(example.input_ids) == text.rstrip()
    assert model == "byte_level" or example.input_ids != at_once[: len(example.input_ids)]


@pytest.mark.parametrize("name", NAMES)
def test_all_that_is_said_is_read(name: str, tokenizer: Tokenizer) -> None:
    for messages in CONVERSATIONS.values():
        text = tokenizer.decode(bind(name, tokenizer).prompt_ids(messages[:-1]))
        for message in messages[:-1]:
            assert message["content"] in text


def test_learning_less_changes_labels_and_no_tokens(tokenizers: dict[str, Tokenizer]) -> None:
    template = bind("medical", tokenizers["merging"])
    turns = CONVERSATIONS["turns"]
    last_only = [{**message, "learn": False} for message in turns[:-1]] + [turns[-1]]
    assert template.example(last_only).input_ids == template.example(turns).input_ids


def test_what_comes_behind_the_last_learned_answer_is_left_out(tokenizer: Tokenizer) -> None:
    template = bind("chatml", tokenizer)
    unlearned = ({"role": "user", "content": "问题"}, {**CONVERSATION[2], "learn": False})
    assert template.example((*CONVERSATION, *unlearned)) == template.example(CONVERSATION)
    assert template.example(unlearned) == Example([], [])


def test_earlier_turns_that_a_template_rewrites_are_counted(tokenizer: Tokenizer) -> None:
    template = Template(TemplateConfig("qwen3", THINKING), tokenizer, [tokenizer.eos_token_id])
    example = template.example(CONVERSATIONS["turns"])
    ((begin, end),) = learned_runs(example)
    assert example.turns_not_learned == 2
    assert tokenizer.decode(example.labels[begin : end - 1]) == "家"
    assert example.input_ids[:begin] == template.prompt_ids(CONVERSATIONS["turns"][:-1])


def test_thousands_of_turns_take_no_minutes(tokenizer: Tokenizer) -> None:
    messages = [*CONVERSATION[1:]] * 1000
    started = time.monotonic()
    example = bind("chatml", tokenizer).example(messages)
    assert time.monotonic() - started < 20
    assert example.turns_not_learned == 1000 - len(learned_runs(example)) > 0
    assert example.input_ids.count(tokenizer.eos_token_id) == 2000


@pytest.mark.parametrize("model", ["byte_level", "merging", "unigram"])
def test_raw_text_is_learned_from_its_first_token_on(
    model: str, tokenizers: dict[str, Tokenizer]
) -> None:
    template = bind("text", tokenizers[model])
    example = template.example(({"role": "assistant", "content": "家父是：甄远道"},))
    assert example.labels == [IGNORED, *example.input_ids[1:]]  # nothing comes before the first
    assert example.input_ids[-1] == tokenizers[model].eos_token_id
    assert tokenizers[model].decode(example.input_ids[:-1]).removeprefix("<s>") == "家父是：甄远道"


@pytest.mark.parametrize("name", NAMES)
def test_an_option_has_the_tokens_that_an_answer_of_its_text_is_learned_with(
    tokenizers: dict[str, Tokenizer], name: str
) -> None:
    texts = ["A. 甄远道", "file", ""]
    for tokenizer in tokenizers.values():
        template = bind(name, tokenizer)
        found = template.answer_ids(CONVERSATION[1:2], texts)
        for text, ids in zip(texts, found, strict=True):
            answer = {"role": "assistant", "content": text}
            example = template.example([CONVERSATION[1], answer])
            asked = template.prompt_ids(CONVERSATION[1:2])
            assert example.input_ids == [*asked, *ids, example.input_ids[-1]]


def test_only_the_text_template_shows_raw_text(tokenizers: dict[str, Tokenizer]) -> None:
    for tokenizer in tokenizers.values():
        assert [name for name in NAMES if bind(name, tokenizer).shows_raw_text()] == ["text"]


def test_bos_is_written_only_where_the_tokenizer_adds_it(tokenizers: dict[str, Tokenizer]) -> None:
    texts = {
        model: tokenizer.decode(bind("user_assistant", tokenizer).prompt_ids(CONVERSATION[1:2]))
        for model, tokenizer in tokenizers.items()
    }
    assert texts["byte_level"] == "User: 你是谁？\n\nAssistant:"
    assert texts["merging"] == "<s>User: 你是谁？\n\nAssistant:"


def test_chatml_writes_eos_where_its_own_mark_is_no_end(tokenizers: dict[str, Tokenizer]) -> None:
    def end(model: str) -> str:
        example = bind("chatml", tokenizers[model]).example(CONVERSATION)
        return str(tokenizers[model].decode(example.labels[learned_runs(example)[0][0] :]))

    assert end("byte_level").endswith("。<|im_end|>")
    assert end("merging").endswith("。<|im_end|></s>")


def test_deepseek_is_written_as_deepseek_writes_it(tokenizers: dict[str, Tokenizer]) -> None:
    template = bind("deepseek", tokenizers["merging"])

    def asked(conversation: str) -> str:
        ids = template.prompt_ids(CONVERSATIONS[conversation][:-1])
        return str(tokenizers["merging"].decode(ids)).replace("\uff5c", "|")  # fullwidth bars

    assert asked("system") == "<s>你是甄嬛。<|User|>你是谁？<|Assistant|>"
    assert asked("tool") == (
        "<s><|User|>你是谁？<|Assistant|>path</s><|tool▁outputs▁begin|>"
        '<|tool▁output▁begin|>{"name": "甄远道"}<|tool▁output▁end|>'
        "<|tool▁output▁begin|>家父<|tool▁output▁end|><|tool▁outputs▁end|>"
    )


def test_template_without_eos_is_refused(tokenizer: Tokenizer) -> None:
    endless = TemplateConfig("endless", "{% for m in messages %}{{ m['content'] }}{% endfor %}")
    with pytest.raises(UserError, match=r"template=endless .*<\|im_end\|>"):
        Template(endless, tokenizer, [1]).example(CONVERSATION)


def test_template_whose_prompt_is_no_beginning_is_refused(tokenizer: Tokenizer) -> None:
    text = (
        "{{ messages | length }}{% for m in messages %}{{ m['content'] + eos_token }}{% endfor %}"
    )
    with pytest.raises(UserError, match=r"template=counting .* not the beginning"):
        Template(TemplateConfig("counting", text), tokenizer, [1]).example(CONVERSATION)


@pytest.mark.parametrize("conversation", CONVERSATIONS)
def test_prompt_is_what_the_tokenizer_itself_would_ask_with(
    conversation: str, tokenizer: Tokenizer
) -> None:
    messages = CONVERSATIONS[conversation][:-1]
    asked = tokenizer.apply_chat_template(
        [dict(message) for message in messages],
        tokenize=True,
        add_generation_prompt=True,
        return_dict=False,
    )
    assert bind("native", tokenizer).prompt_ids(messages) == asked


def test_another_end_than_eos_is_learned_where_the_model_stops_at_it(tokenizer: Tokenizer) -> None:
    turns = TemplateConfig("turns", "{% for m in messages %}{{ m['content'] + '\n' }}{% endfor %}")
    line_break = tokenizer("\n")["input_ids"]
    example = Template(turns, tokenizer, line_break).example(CONVERSATION)
    assert example.labels[-1] == line_break[0]


def test_a_thinking_model_answers_at_once_and_no_date_slips_in(tokenizer: Tokenizer) -> None:
    text = (
        "{{ strftime_now('%Y') }}{% for m in messages %}{{ m['content'] + eos_token }}{% endfor %}"
        "{% if add_generation_prompt and enable_thinking is not false %}<think>{% endif %}"
    )
    template = Template(TemplateConfig("thinking", text), tokenizer, [tokenizer.eos_token_id])
    prompt = tokenizer.decode(template.prompt_ids(CONVERSATION[:-1]))
    assert "<think>" not in prompt
    assert prompt.startswith("26 Jul 2024")


def test_a_template_that_refuses_a_role_says_so(tokenizer: Tokenizer) -> None:
    text = "{{ raise_exception('System role not supported') }}"
    with pytest.raises(UserError, match=r"template=strict .* System role not supported"):
        Template(TemplateConfig("strict", text), tokenizer, [1]).example(CONVERSATION)


def test_native_template_needs_a_model_that_has_one(tokenizer: Tokenizer) -> None:
    tokenizer.chat_template = None
    with pytest.raises(UserError, match="template=native"):
        bind("native", tokenizer)
