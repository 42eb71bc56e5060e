"""What the command line makes of a sweep: dimensions, precedence, faults before anything runs."""

import subprocess
import sys
from pathlib import Path

import pytest

from flows.command import CONF
from flows.sweep_command import read_request
from loraflow.errors import UserError
from loraflow.sweep.request import Request
from loraflow.sweep.space import Range
from loraflow.sweep.trials import Trial

SWEEPS = [path.stem for path in sorted((CONF / "sweep").glob("*.yaml")) if path.stem != "default"]
EXPERIMENTS = [path.stem for path in sorted((CONF / "experiment").glob("*.yaml"))]
RUNNERS = [path.stem for path in sorted((CONF / "runner").glob("*.yaml"))]


def arms(request: Request) -> list[str]:
    return [trial.arm for trial in request.samples()]


def dropout_of(request: Request, trials: list[Trial]) -> list[float]:
    return [request.settings_of(trial)["adapter"]["dropout"] for trial in trials]


@pytest.mark.parametrize("name", SWEEPS)
def test_every_sweep_can_be_asked_for(name: str) -> None:
    request = read_request([f"sweep={name}"])
    assert len(set(arms(request))) == len(arms(request)) > 1


@pytest.mark.parametrize("name", RUNNERS)
def test_every_runner_can_be_asked_for(name: str) -> None:
    assert read_request(["sweep=smoke", f"runner={name}"]).runner.kind == name


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_can_be_swept(name: str) -> None:
    request = read_request(["sweep=smoke", f"experiment={name}"])
    dropout = request.config.adapter.dropout
    assert dropout_of(request, request.samples()) == [dropout] * 2
    assert set(dropout_of(request, request.controls())) == {0.0}


@pytest.mark.parametrize(
    ("word", "section"),
    [
        ("adapter.init_lora_weights=gaussian", "adapter"),
        ("+adapter.rank_pattern.q_proj=2", "adapter"),
        ("train.loraplus_lr_ratio=16", "train"),
        ("train.progressive=[1,1]", "train"),
        ("before.sft.train.loraplus_lr_ratio=16", "before"),
    ],
)
def test_what_only_an_adapter_reads_is_for_the_arms_that_have_one(word: str, section: str) -> None:
    chain = ["sweep=smoke", "experiment=cpt_then_sft_then_dpo"]
    plain, given = (read_request([*chain, *more]) for more in ([], [word]))
    control = given.settings_of(given.controls()[0])
    assert control == plain.settings_of(plain.controls()[0])
    arm, plain_arm = (one.settings_of(one.samples()[0])[section] for one in (given, plain))
    assert arm != plain_arm


def test_an_arm_of_another_method_goes_without_what_it_does_not_read() -> None:
    request = read_request(["sweep=default", "adapter=lora,ia3", "adapter.dropout=0.1"])
    assert dropout_of(request, request.samples()) == [0.1, 0.0]


@pytest.mark.parametrize(
    "words", [["adapter=lora,ia3", "adapter.dropout=0,0.1"], ["adapter=ia3", "adapter.dropout=0.1"]]
)
def test_what_was_asked_of_an_arm_that_does_not_read_it_is_a_fault(words: list[str]) -> None:
    with pytest.raises(UserError, match=r"dropout=0\.1 does nothing with adapter\.method=ia3"):
        read_request(["sweep=smoke", *words])


def test_commas_give_a_dimension_its_values() -> None:
    assert arms(read_request(["sweep=smoke", "adapter.r=2,3"])) == ["r=2", "r=3"]


def test_commas_make_a_dimension_of_any_key_or_group() -> None:
    request = read_request(["sweep=smoke", "adapter.r=2", "adapter=lora,dora"])
    assert arms(request) == ["r=2 lora", "r=2 dora"]
    settings = [request.settings_of(trial) for trial in request.samples()]
    assert [one["adapter"]["use_dora"] for one in settings] == [False, True]


def test_an_interval_is_tuned_not_compared() -> None:
    request = read_request(
        [
            "sweep=learning_rate_per_rank",
            "train.learning_rate=tag(log,interval(1e-4,1e-3))",
            "adapter.r=2,4",
        ]
    )
    assert arms(request) == ["r=2 learning_rate=0.0001", "r=4 learning_rate=0.0001"]
    assert request.tuned[0].choices == Range(1e-4, 1e-3, True)


def test_the_command_line_wins_over_the_sweep_and_the_trial_over_both() -> None:
    request = read_request(["sweep=smoke", "train.max_steps=9", "adapter.alpha=5"])
    settings = request.settings_of(request.samples()[0])
    assert settings["train"]["max_steps"] == 9
    assert settings["data"]["train_rows"] == 64
    assert settings["adapter"] == {**settings["adapter"], "r": 1, "alpha": 5}


def test_every_trial_is_repeated_with_every_seed() -> None:
    request = read_request(["sweep=smoke", "sweep.seeds=[3,7]"])
    trials = request.trials({"adapter.r": 1}, {})
    assert [request.settings_of(trial)["train"]["seed"] for trial in trials] == [3, 7]
    assert [trial.name for trial in trials] == ["r=1 seed=3", "r=1 seed=7"]


def test_the_base_model_is_always_an_arm() -> None:
    (base,) = read_request(["sweep=smoke"]).controls()
    assert base.sets["adapter"] == "none"


def test_a_classifier_has_its_head_alone_as_an_arm_for_every_seed() -> None:
    words = ["sweep=smoke", "train=classify", "data=imdb", "quantization=none"]
    controls = read_request([*words, "sweep.compare.metric=accuracy"]).controls()
    assert [trial.name for trial in controls] == [
        "base model",
        "head only seed=0",
        "head only seed=1",
    ]


def test_lists_regexes_and_chinese_survive_composition() -> None:
    request = read_request(["sweep=smoke", r"adapter.target_modules=[q_proj,v_proj],'.*\.o_proj'"])
    found = [request.settings_of(one)["adapter"]["target_modules"] for one in request.samples()]
    assert found[:2] == [["q_proj", "v_proj"], r".*\.o_proj"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["adapter.rr=1,2"], "adapter.rr is not a key of the config .did you mean adapter.r"),
        (["adapter.r=0,4"], "trial r=0 seed=0: adapter.r=0 must be at least 1"),
        (["sweep.sed=1"], "sweep.sed is not a key of the config .did you mean sweep.seeds"),
        (["runner.workers=0"], "runner.workers=0 must be at least 1"),
        (["train.seed=1,2"], "train.seed is no dimension"),
        (["sweep.compare.metric=rouge"], "is no metric by which .*did you mean rougeL"),
        (["sweep.compare.metric=refusal_share"], "is no metric by which"),
        (["sweep.compare.metric=rougel", "sweep.compare.margin=0.02"], "did you mean rougeL"),
        (["sweep.compare.metric=accuracy"], "task=sft does not measure it; one of exact_match, "),
        (["sweep.compare.metric=judge_rating"], r"\(judge\.kind=none, .*; choose judge=local, or"),
        (["sweep.compare.metric=choice_accuracy"], "does not measure it"),
        (
            ["sweep.compare.metric=judge_rating", "train=text", "judge=local"],
            "task=text does not measure it; one of loss, ",
        ),
        (
            ["sweep.search.storage='postgresql://ann:s3cret@db/optuna'"],
            r"^sweep\.search\.storage holds a password.* PGUSER and PGPASSWORD [^3]*$",
        ),
        (["sweep.search.storage='postgresql://db/optuna?password=s3cret'"], "holds a password"),
        (["sweep.search.pruning=halving"], "prunes nothing"),
        (["train.learning_rate=interval(1e-5,1e-3)"], "grid needs lists"),
        (["sweep=learning_rate_per_rank", "sweep.search.trials=null"], "needs a number of conf"),
        (["sweep=learning_rate_per_rank", "train.early_stopping=null"], "rows apart"),
        (
            ["sweep=learning_rate_per_rank", "sweep.search.objectives=[loss,seconds]"],
            "goes by the loss alone",
        ),
        (
            ["sweep=learning_rate_per_rank", "sweep.search.objectives=[seconds]"],
            "goes by the loss alone",
        ),
        (
            [
                "sweep=learning_rate_per_rank",
                "+train.accelerate.fsdp=full_shard",
                "train.processes=2",
                "quantization=none",
            ],
            "train.accelerate=.* have none; set it to hyperband",
        ),
        (["runner.workers=4"], r"^runner\.workers=4 does nothing with runner=local.*=processes$"),
        (["runner.gpus=1"], r"^runner\.gpus=1 does nothing with .*; add runner=processes$"),
        (["runner.address=tcp://x"], "address=tcp://x does nothing with .*; add runner=dask or"),
        (["runner=processes", "runner.address=tcp://x"], "nothing with runner=processes, .*=dask"),
        (["runner=dask", "runner.gpus=1"], r"set runner=processes, or runner\.address"),
        (["sweep.seeds=0,1,2"], r"a list has brackets: sweep\.seeds=\[0,1,2\]$"),
        (["sweep=default,smoke"], "^sweep=default,smoke: all trials .*; give it one value"),
        (["runner.workers=2,4"], r"^runner\.workers=2,4: .*; give it one value"),
        (
            ["sweep.search.tune.train.learning_rate=1e-4,1e-3"],
            r"write '\+sweep\.search\.tune=\{train\.learning_rate: \[1e-4,1e-3\]\}'$",
        ),
        (["sweep.space.adapter.r=1,4"], r"; write adapter\.r=1,4$"),
        (["hydra.verbose=true,false"], r"share hydra\.verbose; give it one value"),
        (["sweep.search.storage='postgresql://me:word@host/x'"], "storage holds a password"),
        (["sweep=smok"], "did you mean smoke"),
        (["sweep=default"], "sweep.space is empty"),
    ],
)
def test_faults_are_named_before_anything_runs(words: list[str], message: str) -> None:
    given = words if words[0].startswith("sweep=") else ["sweep=smoke", *words]
    with pytest.raises(UserError, match=message):
        read_request(given)


def test_help_shows_sweeps_and_runners_and_imports_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys; sys.argv = ['sweep', '--help']; from flows.sweep import main; main(); "
        "heavy = {'torch', 'transformers', 'mlflow', 'optuna'} & set(sys.modules); "
        "assert not heavy, heavy"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert "rank_by_targets" in done.stdout
    assert "processes" in done.stdout
