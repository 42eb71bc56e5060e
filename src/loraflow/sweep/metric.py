"""By which metric the arms of a sweep are compared, and whether their evaluation will have it."""

from loraflow.compare.metrics import METRICS
from loraflow.config import ANSWERED, Config
from loraflow.errors import UserError, nearest

_USUAL = {  # metric by task
    "sft": "rougeL",
    "text": "loss",
    "preference": "prefers_chosen",
    "classify": "accuracy",
}
_LIKELIHOOD = ("loss", "perplexity", "bits_per_byte", "token_accuracy")
_ANSWERS = (
    *("exact_match", "bleu", "chrf", "rouge1", "rouge2", "rougeL"),
    *_LIKELIHOOD,
    *("repetition", "cut_share"),
)
_PREFERENCE = ("prefers_chosen", "chosen_margin", "prefers_per_token", "margin_per_token")
_MEASURED = {  # what every evaluation of a task has, of the metrics that say what is better
    "sft": _ANSWERS,
    "text": _LIKELIHOOD,
    "preference": (*_PREFERENCE, *_ANSWERS),
    "classify": ("accuracy", "precision", "recall", "f1", "loss"),
}
_CHOICE = ("choice_accuracy", "choice_accuracy_norm")  # of rows that have options
_RATING = "judge_rating"


def usual_metric(task: str) -> str:
    """Return the metric by which arms of a task are compared."""
    return _USUAL[task]


def margin_of(metric: str, *, key: str) -> float:
    """Return the loss of quality that counts as none; `key` names the metric in errors.

    Raises:
        UserError: if the metric does not say which of two arms is better.
    """
    known = METRICS.get(metric)
    if known is None or known.larger_is_better is None:
        comparable = [name for name, one in METRICS.items() if one.larger_is_better is not None]
        raise UserError(
            f"{key}={metric} is no metric by which arms can be compared"
            f"{nearest(metric, comparable)}; choose from {', '.join(comparable)}"
        )
    return known.margin


def measured_metrics(config: Config) -> list[str]:
    """Return the metrics that say which arm is better and that an evaluation can have."""
    names = list(_MEASURED[config.train.task])
    if config.train.task in ANSWERED:
        if config.data.path is not None:  # only the rows can tell; what is built in has none
            names += _CHOICE
        if config.judge.kind != "none" and config.judge.held_out:
            names.append(_RATING)
    return names


def require_measured(metric: str, config: Config) -> None:
    """Refuse a metric that no trial would have, before any of them is trained.

    Raises:
        UserError: names the metrics that the evaluation has.
    """
    measured = measured_metrics(config)
    if metric in measured:
        return
    judged = metric == _RATING and config.train.task in ANSWERED
    why = (
        f"no judge rates answers to held-out rows (judge.kind={config.judge.kind}, "
        f"judge.held_out={str(config.judge.held_out).lower()}); choose judge=local, or"
        if judged
        else f"an evaluation with train.task={config.train.task} does not measure it;"
    )
    raise UserError(f"sweep.compare.metric={metric}: {why} one of {', '.join(measured)}")
