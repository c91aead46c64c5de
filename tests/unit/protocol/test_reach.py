"""Who is heard, through whom others are reached, and who is cut off."""

from __future__ import annotations

from protocol.rpc.reach import ReachTable

T = 2.0
OTHERS = ("b", "c", "d")


def table(heard: dict[str, tuple[float, tuple[str, ...]]]) -> ReachTable:
    """heard: instance → when it answered, and whom it hears."""
    found = ReachTable(T)
    found.watch(OTHERS, 0.0)
    for name, (at_s, hears) in heard.items():
        found.answered(name, hears, at_s)
    return found


def test_an_answer_counts_for_a_quarter_of_the_session_timeout() -> None:
    found = table({"b": (10.0, ()), "c": (9.5, ())})
    assert found.hears(10.0) == ("b",)
    assert found.hears(10.49) == ("b",)
    assert found.hears(10.5) == ()


def test_who_is_silent_is_reached_through_one_that_hears_it() -> None:
    found = table({"b": (10.0, ("a", "c")), "d": (10.0, ("a",))})
    assert found.relays(10.1) == {"c": "b"}
    assert found.relays(11.0) == {}, "it does not answer itself any more"
    found.answered("c", (), 11.0)
    assert found.relays(11.0) == {}


def test_fewer_than_half_of_all_in_reach_is_cut_off() -> None:
    found = table({"b": (10.0, ()), "c": (10.0, ()), "d": (10.0, ())})
    assert found.silent(10.99) == set()
    assert found.silent(11.0) == set(OTHERS)
    assert found.is_cut_off({"b", "c", "d"})
    assert not found.is_cut_off({"b", "c"}), "two of four are gone, and two are left"
    found.watch(("b", "c"), 11.0)
    assert not found.is_cut_off({"b"})
    assert found.is_cut_off({"b", "c"})
    found.watch(("b",), 11.0)
    assert not found.is_cut_off({"b"}), "of two, nobody can tell which one is cut off"


def test_a_pause_of_the_own_process_is_nobodys_silence() -> None:
    found = table({"b": (10.0, ())})
    found.stood_still(30.0)
    assert found.hears(40.4) == ("b",)


def test_who_is_not_watched_any_more_is_forgotten() -> None:
    found = table({"b": (10.0, ("c",))})
    found.watch(("c",), 10.0)
    found.answered("b", (), 10.0)
    assert (found.watched(), found.hears(10.0)) == (("c",), ())


def test_others_serve_if_one_has_said_so_since() -> None:
    found = table({"b": (10.0, ())})
    assert found.others_serve(10.0, 10.0)
    assert not found.others_serve(10.1, 10.2), "that was before"
    found.answered("b", (), 10.2, serves=False)
    assert not found.others_serve(10.1, 10.2)
    found.answered("c", (), 10.3, serves=True)
    assert found.others_serve(10.1, 10.3)


def test_who_has_membership_again_a_little_earlier_strands_nobody() -> None:
    found = table({"b": (10.0, ())})
    found.answered("b", (), 11.0, serves=False)
    found.answered("b", (), 15.0)
    found.answered("b", (), 15.2)
    assert not found.others_serve(12.0, 14.2), "it came back 0.8 s ago"
    found.answered("b", (), 16.0)
    assert found.others_serve(12.0, 15.0)
