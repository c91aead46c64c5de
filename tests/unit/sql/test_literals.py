"""A plan that is used with the literals of one text."""

from __future__ import annotations

from data.exec.prepared import PreparedStatement


def test_a_statement_with_literals_has_all_of_its_plan() -> None:
    plan = PreparedStatement.__new__(PreparedStatement)
    for name in PreparedStatement.__slots__:
        setattr(plan, name, object())
    bound = plan.with_literals((1, "a"))
    for name in set(PreparedStatement.__slots__) - {"literals", "param_types"}:
        assert getattr(bound, name) is getattr(plan, name)
    assert bound.literals == (1, "a")
    assert bound.param_types == ()
