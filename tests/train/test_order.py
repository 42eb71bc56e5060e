"""The order of rows follows from seed and epoch alone."""

from loraflow.train.order import RowOrder

LENGTHS = [n % 17 + 1 for n in range(103)]


def order(seed: int = 0, epoch: int = 0, group: int | None = None) -> list[int]:
    rows = RowOrder(LENGTHS, seed=seed, group=group)
    rows.set_epoch(epoch)
    return list(rows)


def test_every_row_comes_once() -> None:
    assert sorted(order()) == sorted(order(group=8)) == list(range(103))
    assert len(RowOrder(LENGTHS, seed=0, group=None)) == 103


def test_seed_and_epoch_draw_another_order() -> None:
    assert order() == order()
    assert len({tuple(order()), tuple(order(seed=1)), tuple(order(epoch=1))}) == 3


def test_the_first_epoch_can_be_a_later_one() -> None:
    assert list(RowOrder(LENGTHS, seed=0, group=None, epoch=2)) == order(epoch=2)


def test_padded_rows_meet_rows_of_like_length() -> None:
    rows = order(group=8)
    spreads = [
        max(LENGTHS[row] for row in rows[at : at + 8])
        - min(LENGTHS[row] for row in rows[at : at + 8])
        for at in range(0, 96, 8)
    ]
    assert max(spreads) <= 3
    assert [LENGTHS[row] for row in rows] != sorted((LENGTHS[row] for row in rows), reverse=True)
