"""What the model is trained behind is, to the token, what it is asked with."""

import pytest

from flows.command import CONF
from loraflow.config import TemplateConfig
from loraflow.data.template import IGNORED, Example, Template, fit
from loraflow.errors import UserError
from loraflow.model.source import BaseModel
from loraflow.model.tokenizer import Tokenizer, load_tokenizer
from tests.conftest import composed

NAMES = sorted(path.stem for path in (CONF / "template").glob("*.yaml"))
CONVERSATION = (
    {"role": "system", "content": "你是甄嬛。"},
    {"role": "user", "content": "你是谁？"},
    {"role": "assistant", "content": "家父是大理寺少卿甄远道。"},
)


@pytest.fixture
def tokenizer(tiny_base: BaseModel) -> Tokenizer:
    return load_tokenizer(tiny_base)


def bind(name: str, tokenizer: Tokenizer) -> Template:
    return Template(composed(f"template={name}").template, tokenizer, [tokenizer.eos_token_id])


@pytest.mark.parametrize("name", NAMES)
def test_training_prompt_equals_generation_prompt(name: str, tokenizer: Tokenizer) -> None:
    template = bind(name, tokenizer)
    example = template.example(CONVERSATION)
    asked = template.prompt_ids(CONVERSATION[:-1])
    assert example.input_ids[: len(asked)] == asked
    assert example.labels[: len(asked)] == [IGNORED] * len(asked)


@pytest.mark.parametrize("name", NAMES)
def test_answer_and_eos_are_learned_and_nothing_else(name: str, tokenizer: Tokenizer) -> None:
    example = bind(name, tokenizer).example(CONVERSATION)
    learned = [label for label in example.labels if label != IGNORED]
    assert learned[-1] == tokenizer.eos_token_id
    assert tokenizer.decode(learned[:-1]).strip() == CONVERSATION[-1]["content"]
    assert example.input_ids[-len(learned) :] == learned


@pytest.mark.parametrize("name", NAMES)
def test_question_is_read_in_full(name: str, tokenizer: Tokenizer) -> None:
    text = tokenizer.decode(bind(name, tokenizer).prompt_ids(CONVERSATION[:-1]))
    assert "你是甄嬛。" in text
    assert "你是谁？" in text


def test_bos_is_written_only_where_the_tokenizer_adds_it(tokenizer: Tokenizer) -> None:
    prompt = bind("user_assistant", tokenizer).prompt_ids(CONVERSATION[1:2])
    assert tokenizer.decode(prompt) == "User: 你是谁？\n\nAssistant:"


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


def test_prompt_is_what_the_tokenizer_itself_would_ask_with(tokenizer: Tokenizer) -> None:
    asked = tokenizer.apply_chat_template(
        [dict(message) for message in CONVERSATION[:-1]],
        tokenize=True,
        add_generation_prompt=True,
        return_dict=False,
    )
    assert bind("native", tokenizer).prompt_ids(CONVERSATION[:-1]) == asked


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


def test_fit_cuts_the_prompt_from_the_left_and_keeps_the_answer() -> None:
    example = Example([1, 2, 3, 4, 5], [IGNORED, IGNORED, IGNORED, 4, 5])
    assert fit(example, 3) == Example([3, 4, 5], [IGNORED, 4, 5])
    assert fit(example, 5) == example


def test_fit_sets_aside_an_answer_that_leaves_no_room_for_a_prompt() -> None:
    example = Example([1, 2, 3], [IGNORED, 2, 3])
    assert fit(example, 2) is None
