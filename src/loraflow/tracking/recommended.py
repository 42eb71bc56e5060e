"""What a sweep recommends, noted on its MLflow run for the nights that train by it."""

import json
from collections.abc import Mapping
from typing import Any

from loraflow.config import Config
from loraflow.tracking.connection import connect
from loraflow.tracking.run import Run

_TAG = "loraflow.recommended"


def record_recommended(run: Run, sets: Mapping[str, Any]) -> None:
    """Note the keys of the recommended arm, with their values, on the run of a sweep.

    None are noted as such, and are no recommendation: no arm was clearly better than the base.
    """
    run.log_values(tags={_TAG: json.dumps(sets, ensure_ascii=False)})


def fetch_recommended(config: Config) -> dict[str, Any]:
    """Return what the newest sweep over this base model recommends: keys and their values.

    Nothing, if no sweep has recommended any.
    """
    client, experiment = connect(config.tracking)
    name = config.model.name.replace("'", "\\'")
    newest = client.search_runs(
        [experiment],
        f"tags.`{_TAG}` LIKE '{{\"%' and params.`model.name` = '{name}'",
        order_by=["attributes.start_time DESC"],
        max_results=1,
    )
    found: dict[str, Any] = json.loads(newest[0].data.tags[_TAG]) if newest else {}
    return found
