"""The answer has the same tokens behind its question as by itself, whatever the tokenizer does."""

import pytest

from loraflow.evaluate.judge.chat_tokens import ChatTokens
from loraflow.model.source import BaseModel
from loraflow.model.tokenizer import Tokenizer, load_tokenizer
from tests.data.odd_tokenizers import merging_tokenizer, unigram_tokenizer
from tests.evaluate.judge.local_judges import judge_of, log_likelihood, random_model
from tests.evaluate.judge.scripted import ignore, row

ASKED = [{"role": "user", "content": "问题："}]
SYSTEM = [{"role": "system", "content": "Judge."}, *ASKED]
NO_SYSTEM = (
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'system' %}"
    "{{ raise_exception('no system') }}{% endif %}{{ '[' + m['content'] + ']' }}{% endfor %}"
)


def tokenizers() -> dict[str, Tokenizer]:
    plain = merging_tokenizer()
    plain.chat_template = None
    bare = merging_tokenizer()
    bare.chat_template = NO_SYSTEM
    return {
        "merging": merging_tokenizer(),
        "unigram": unigram_tokenizer(),
        "no template": plain,
        "no marker": bare,
    }


@pytest.mark.parametrize("name", list(tokenizers()))
def test_information_holds_for_odd_tokenizers(name: str, tiny_base: BaseModel) -> None:
    tokenizer = tokenizers()[name]
    model = random_model(tokenizer)
    judge = judge_of(model, tokenizer, tiny_base, "information")
    chat = ChatTokens(tokenizer, tiny_base)
    for answer in ("家父是甄远道", "key value", "“quoted”"):
        (grade,) = judge.grade([row("1", "问题：", answer)], ignore)
        ids = chat.answer_ids(answer)
        assert chat.text(ids).strip() == answer
        prompt = chat.prompt_ids(ASKED)
        alone = chat.unasked_ids()
        assert 0 < len(alone) < len(prompt)
        expected = log_likelihood(model, prompt, ids) - log_likelihood(model, alone, ids)
        assert grade.raw == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("name", list(tokenizers()))
def test_rating_holds_for_odd_tokenizers(name: str, tiny_base: BaseModel) -> None:
    tokenizer = tokenizers()[name]
    judge = judge_of(random_model(tokenizer), tokenizer, tiny_base, "rating")
    (grade,) = judge.grade([row("1", "问题：", "key")], ignore)
    assert 1 <= (grade.rating or 0) <= 10
    assert grade.prompt.endswith("Rating: [[")


def test_unasked_is_the_template_around_nothing(tiny_base: BaseModel) -> None:
    chat = ChatTokens(load_tokenizer(tiny_base), tiny_base)
    expected = "<|im_start|>user\n<|im_end|>\n<|im_start|>assistant\n"
    assert chat.text(chat.unasked_ids()) == expected
    bare = ChatTokens(tokenizers()["no marker"], tiny_base)
    assert bare.text(bare.unasked_ids()) == "<s>[]"


def test_system_message_goes_to_the_user_where_there_is_none(tiny_base: BaseModel) -> None:
    chat = ChatTokens(tokenizers()["no marker"], tiny_base)
    assert chat.text(chat.prompt_ids(SYSTEM)) == "<s>[Judge.\n\n问题：]"


def test_cut_prompt_keeps_its_first_token(tiny_base: BaseModel) -> None:
    chat = ChatTokens(tokenizers()["no marker"], tiny_base)
    prompt = chat.prompt_ids(SYSTEM)
    assert chat.keep_end(prompt, 5) == [prompt[0], *prompt[-4:]]
    assert chat.keep_end(prompt, len(prompt)) == prompt
