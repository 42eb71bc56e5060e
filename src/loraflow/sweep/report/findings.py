"""What a sweep found besides its recommendation, in sentences."""

from collections import Counter
from collections.abc import Iterator, Sequence

from loraflow.sweep.report.content import RankPage
from loraflow.sweep.report.missing import is_smaller, missing_arms

_MOST_NAMED, _MOST_LISTED = 3, 6


def find(page: RankPage) -> list[str]:
    """Return sentences: what has no number, how much seeds differ, what explains most."""
    return [
        *_ends(page),
        *_unfit(page),
        *_missing(page),
        *_prompts(page),
        *_seeds(page),
        *_importance(page),
    ]


def _ends(page: RankPage) -> Iterator[str]:
    states = Counter(trial.state for trial in page.trials)
    if states["failed"]:
        yield (
            f"{states['failed']} of {len(page.trials)} trials failed and count nowhere; their "
            "reasons are in the table of trials."
        )
    if states["pruned"]:
        yield (
            f"{states['pruned']} trials were pruned: inside their arm they were far behind, by the "
            "loss on training rows apart. No arm was pruned as a whole."
        )
    if states["waiting"]:
        number = states["waiting"]
        trials = "1 trial has" if number == 1 else f"{number} trials have"
        yield f"{trials} not run yet; the same command goes on with what is left."


def _unfit(page: RankPage) -> Iterator[str]:
    """Say of each trial that finished without a number why; of many, of the first."""
    unfit = [one for one in page.trials if one.state == "finished" and one.reason]
    for trial in unfit[:_MOST_NAMED]:
        yield f"{trial.name} finished and is not compared: {trial.reason}."
    if len(unfit) > _MOST_NAMED:
        yield (
            f"{len(unfit) - _MOST_NAMED} more finished and are not compared; the table of trials "
            "says why."
        )


def _missing(page: RankPage) -> Iterator[str]:
    missing, found = missing_arms(page), page.recommendation
    if page.comparison is None or not missing:
        return
    yield (
        f"Missing from the comparison: {_listed(list(missing))}. What was trained of it failed, or "
        "has no number."
    )
    named = {arm.name: arm for arm in page.arms}.get((found and found.arm) or "")
    if named is None:
        return
    smaller = [name for name, trials in missing.items() if is_smaller(page, trials, named)]
    if smaller:
        yield (
            f"Smaller than {named.name}, and perhaps enough, had it not failed: {_listed(smaller)}."
        )


def _listed(names: Sequence[str]) -> str:
    rest = len(names) - _MOST_LISTED
    return ", ".join([*names[:_MOST_LISTED], *([f"{rest} more"] if rest > 0 else [])])


def _prompts(page: RankPage) -> Iterator[str]:
    found = page.comparison
    if found is not None and found.prompts < found.items:
        yield (
            f"The {found.items:,} held-out items answer {found.prompts:,} prompts; items of one "
            "prompt count together, and intervals are as wide as that makes them."
        )


def _seeds(page: RankPage) -> Iterator[str]:
    if page.comparison is None:
        return
    deviation = page.comparison.seed_deviation
    if deviation is None:
        yield (
            "Every arm has one seed: the intervals hold for these very adapters, and another "
            "training of the same settings may differ by more (sweep.seeds=[0,1])."
        )
    elif deviation == 0:
        yield (
            f"Trained again with another seed, an arm's {page.metric} moves no more than the noise "
            "of the items explains."
        )
    else:
        yield (
            f"Trained again with another seed, an arm's {page.metric} moves by about "
            f"{deviation:.3g} (standard deviation, beyond the noise of the items)."
        )


def _importance(page: RankPage) -> Iterator[str]:
    known = [one for one in page.dimensions if one.importance is not None]
    if known:
        first = max(known, key=lambda one: one.importance or 0)
        yield (
            f"Of the variation between trials {first.name} explains most "
            f"({first.importance:.0%}, fANOVA)."
        )
