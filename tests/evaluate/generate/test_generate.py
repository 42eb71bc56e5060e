"""An answer depends on its own prompt alone, not on what is written beside it."""

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PromptTuningConfig, get_peft_model

from loraflow.evaluate.generate import run
from loraflow.evaluate.generate.forward import PROMPT_TOKENS, Forward, answering
from loraflow.evaluate.generate.prompt import Answer, Prompt
from loraflow.evaluate.generate.run import generate_answers
from loraflow.evaluate.journal import Journal
from loraflow.model.load import load_base, load_for_answers
from loraflow.model.source import BaseModel
from loraflow.model.tokenizer import Tokenizer, load_tokenizer

IDS = [[10, 11, 12, 13, 14, 15], [20, 21], [30, 31, 32], [40], [50, 51, 52, 53], [60, 61]]


@pytest.fixture
def model(tiny_base: BaseModel) -> Any:
    return load_for_answers(tiny_base, None)


@pytest.fixture
def tokenizer(tiny_base: BaseModel) -> Tokenizer:
    return load_tokenizer(tiny_base)


def prompts(ids: list[list[int]] = IDS, new: int = 8, temperature: float = 0) -> list[Prompt]:
    return [Prompt(str(row), row, new, temperature, seed=sum(row)) for row in ids]


def answers(  # noqa: PLR0913 - what may matter, and must not
    model: Any,
    tokenizer: Tokenizer,
    asked: list[Prompt],
    folder: Path,
    *,
    batch_size: int = 4,
    stop: tuple[int, ...] = (399,),
    name: str = "journal",
) -> list[Answer]:
    with Journal(folder / name) as journal:
        written, _ = generate_answers(
            model, tokenizer, asked, batch_size=batch_size, stop=stop, journal=journal
        )
    return written


def greedy(model: Any, ids: list[int], new: int = 8) -> list[int]:
    """Each token from a pass of the model's own over all before it."""
    for _ in range(new):
        with torch.no_grad():
            ids = [*ids, int(model(torch.tensor([ids])).logits[0, -1].argmax())]
    return ids[-new:]


def test_answers_are_the_models_own_in_the_order_of_the_prompts(
    model: Any, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    expected = [tokenizer.decode(greedy(model, ids)).strip() for ids in IDS]
    found = answers(model, tokenizer, prompts(), tmp_path)
    assert [answer.text for answer in found] == expected
    assert len(set(expected)) == len(IDS)
    assert {answer.tokens for answer in found} == {8}


@pytest.mark.parametrize("temperature", [0.0, 1.5])
def test_an_answer_does_not_depend_on_its_batch_mates(
    temperature: float, model: Any, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    """To the bit: the logits, not only the tokens, are those of the answer written alone."""
    asked = prompts(temperature=temperature)
    together = answers(model, tokenizer, asked, tmp_path)
    for place, prompt in enumerate(asked):
        alone = answers(model, tokenizer, [prompt], tmp_path, name=f"alone {place}")
        assert alone == [together[place]]
    turned = answers(model, tokenizer, asked[::-1], tmp_path, name="turned")
    assert turned == together[::-1]


def test_logits_are_the_same_to_the_bit_in_any_company(model: Any) -> None:
    with answering(model) as in_slots:
        assert in_slots
        forward = Forward(model, 4)
        alone = forward.read([IDS[0]])[0].logits
        for others in ([IDS[1]], [IDS[2], IDS[3], IDS[4]]):
            first, *_, last = forward.read([IDS[0], *others]), forward.read([*others, IDS[0]])
            assert torch.equal(first[0].logits, alone)
            assert torch.equal(last[-1].logits, alone)


def test_drawn_answers_follow_from_their_seed(
    model: Any, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    one, other = (Prompt(f"{seed}", IDS[0], 8, 2.0, seed) for seed in (1, 2))
    first, second = answers(model, tokenizer, [one, other], tmp_path)
    (again,) = answers(model, tokenizer, [one], tmp_path, name="again")
    assert first == again != second


def test_an_answer_ends_at_a_stop_token(model: Any, tokenizer: Tokenizer, tmp_path: Path) -> None:
    second = greedy(model, IDS[0])[1]
    (answer,) = answers(model, tokenizer, prompts(IDS[:1]), tmp_path, stop=(second,))
    assert (answer.ended, answer.tokens) == (True, greedy(model, IDS[0]).index(second) + 1)


def test_more_prompts_than_slots_and_limits_of_their_own(
    model: Any, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    asked = [Prompt(f"{n}", [5 + n % 300, 7], 1 + n % 5) for n in range(23)]
    found = answers(model, tokenizer, asked, tmp_path, batch_size=3)
    assert [answer.tokens for answer in found] == [prompt.max_new_tokens for prompt in asked]
    assert [answer.text for answer in found] == [
        tokenizer.decode(greedy(model, prompt.ids, prompt.max_new_tokens)).strip()
        for prompt in asked
    ]


def test_slots_grow_while_answers_come_and_go(
    model: Any, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    asked = [Prompt(f"{n}", [5 + n, 7, 9], 150) for n in range(5)]
    found = answers(model, tokenizer, asked, tmp_path, batch_size=2)
    assert {answer.tokens for answer in found} == {150}
    assert found[4].text == tokenizer.decode(greedy(model, asked[4].ids, 150)).strip()


def test_a_prompt_longer_than_a_pass_is_read_alone(
    model: Any, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    long = [3 + n % 300 for n in range(PROMPT_TOKENS + 40)]
    found = answers(model, tokenizer, prompts([long, IDS[0]], new=4), tmp_path)
    assert found[0].text == tokenizer.decode(greedy(model, long, 4)).strip()


def test_an_adapter_that_stays_beside_the_base_answers_too(
    tiny_base: BaseModel, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    torch.manual_seed(1)
    config = LoraConfig(r=2, target_modules=["q_proj", "down_proj"], init_lora_weights=False)
    adapted = get_peft_model(load_base(tiny_base), config).eval()
    expected = [tokenizer.decode(greedy(adapted, ids)).strip() for ids in IDS]
    assert [one.text for one in answers(adapted, tokenizer, prompts(), tmp_path)] == expected


def test_finished_answers_are_not_written_again(
    model: Any, tokenizer: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = answers(model, tokenizer, prompts(), tmp_path, name="whole")
    written: list[str] = []
    write = run._write

    def counting(model: Any, tokenizer: Any, asked: list[Prompt], *rest: Any) -> Any:
        written.extend(prompt.key for prompt in asked)
        return write(model, tokenizer, asked, *rest)

    monkeypatch.setattr(run, "_write", counting)
    answers(model, tokenizer, prompts(IDS[:4]), tmp_path)
    assert answers(model, tokenizer, prompts(), tmp_path) == whole
    assert written == [str(ids) for ids in IDS]


def test_vectors_before_the_text_are_padded_and_answer(
    tiny_base: BaseModel, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    config = PromptTuningConfig(num_virtual_tokens=3, task_type="CAUSAL_LM")
    model = get_peft_model(load_for_answers(tiny_base, None), config).eval()
    with answering(model) as in_slots:
        assert not in_slots
    asked = prompts(temperature=1.5)
    drawn = answers(model, tokenizer, asked, tmp_path, name="drawn")
    assert answers(model, tokenizer, asked[::-1], tmp_path, name="turned") == drawn[::-1]
