"""Where parked tasks stand in the index by which maintenance looks."""

from __future__ import annotations

import pytest

from gridsidecar.store.parking import CENTURY, FIRST, parked_between, parked_for


@pytest.mark.parametrize("task_type", ["default", "mail", "x" * 100, "类型", "\ud800"])
def test_what_is_parked_is_looked_for_in_centuries_that_databases_know(task_type: str) -> None:
    first, last = parked_between(task_type)
    assert "3000-01-01" <= first < last <= "9000-01-01"
    assert int(first[:4]) - 2000 == parked_for(task_type)
    assert (parked_for(task_type) - FIRST) % CENTURY == 0
