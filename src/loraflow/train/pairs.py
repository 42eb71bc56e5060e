"""Makes micro-batches of pairs: the better answers first, then the worse ones in the same order."""

from collections.abc import Sequence
from typing import Any

import torch

from loraflow.data.template import IGNORED
from loraflow.train.packing import pack, pad


class PairCollator:
    """Collates rows of id, input_ids, labels, rejected_ids and rejected_labels."""

    def __init__(self, *, packs: bool, padding: int, for_trl: bool) -> None:
        """Lay sequences end to end, or pad them; `for_trl`: as DPOTrainer's own loss wants them."""
        self._packs = packs
        self._padding = padding
        self._for_trl = for_trl
        self.reference: dict[str, tuple[float, float]] = {}  # by id: of chosen and rejected

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Return a batch with twice as many sequences as rows."""
        sequences = [(row["input_ids"], row["labels"]) for row in rows]
        sequences += [(row["rejected_ids"], row["rejected_labels"]) for row in rows]
        batch = pack(sequences) if self._packs else pad(sequences, padding=self._padding)
        if self._for_trl:
            batch["completion_mask"] = (batch.pop("labels") != IGNORED).long()
        if self.reference:
            chosen, rejected = zip(*(self.reference[row["id"]] for row in rows), strict=True)
            batch["ref_chosen_logps"] = torch.tensor(chosen)
            batch["ref_rejected_logps"] = torch.tensor(rejected)
        return {
            **batch,
            "row_ids": [row["id"] for row in rows],
            "row_lengths": [len(row["input_ids"]) + len(row["rejected_ids"]) for row in rows],
        }
