"""A cut-over whose mover dies, and other ends of moves, on the real code in virtual time."""

from __future__ import annotations

import pytest

from protocol.messages.moving import MoveBuckets
from protocol.messages.txn import CommitSingle
from tests.sim.blackout import Blackouts
from tests.sim.grid import DATABASE, Site
from tests.sim.stage import Stage, outcome, staged
from tests.sim.test_scenarios import OPENING, write_on


def begin(stage: Stage, source: int, target: int, count: int = 4096) -> Site:
    """The lead of the source begins to move its buckets, and may fail; returns its host."""
    site = stage.lead(source)
    stage.until(lambda: all(d.writer.ownership.known for _, d in stage.grid.databases()
                            if d.writer.leading))  # fmt: skip
    database = stage.database(site)
    own = tuple(database.writer.ownership.buckets()[:count])
    assert site.loop is not None
    message = MoveBuckets(DATABASE, source, target, own, 0, 60_000)
    moving, loop = database.moving, site.loop

    def start() -> None:
        task = loop.spawn(moving.run(moving.mover.move(message)), "move")
        task.add_done_callback(lambda t: t.cancelled() or t.exception())  # of a lead that dies

    loop.deliver(start)
    return site


def rows_in(stage: Stage, rs: int) -> int:
    """Accounts in a replica set."""
    element = stage.database(stage.lead(rs)).element
    return int(str(element.read('SELECT COUNT(*) FROM "TERRY.BANK"')[0][0]))


@pytest.mark.parametrize("who", ["source", "target"])
@pytest.mark.parametrize("after_s", [0.005, 0.02, 0.04, 0.06, 0.1])
def test_a_cut_over_whose_lead_dies(who: str, after_s: float) -> None:
    """At any moment: what was moved is moved whole, the rest is where it was; G6 holds."""
    with staged(seed=int(after_s * 1000)) as stage:
        account = stage.account(1)
        client = stage.connect(stage.copies(2)[0])
        writing = stage.background(write_on(stage, client, account, stage.scheduler.now + 3.0))
        stage.run(0.2)
        before = rows_in(stage, 1) + rows_in(stage, 2)
        source = begin(stage, 1, 2)
        dying = source if who == "source" else stage.lead(2)
        stage.run(after_s)
        stage.grid.kill(dying, silent=False)
        stage.run(0.3)
        stage.grid.start(dying)
        stage.until(writing.done, 60.0)
        assert rows_in(stage, 1) + rows_in(stage, 2) == before
        added = stage.balance(account) - OPENING
        assert writing.result() <= added <= writing.result() + 1
        client.close()


@pytest.mark.parametrize("both", [True, False])
def test_a_mover_that_dies_between_prepare_and_decision(both: bool) -> None:
    """Whoever leads then asks the anchor; readers of the buckets see them exactly once."""
    with staged() as stage:
        stage.run(2.0)  # leads are where they belong
        client = stage.connect(stage.copies(2)[0])
        target = stage.lead(2)
        held = stage.hold(target, CommitSingle)  # of the anchor: it is led elsewhere
        source = begin(stage, 1, 2)
        stage.until(lambda: held)
        dying = [source, target] if both else [source]
        for site in dying:
            stage.grid.kill(site, silent=False)
        stage.run(0.5)
        for site in dying:
            stage.grid.start(site)
        stage.until(stage.grid.is_whole)
        rows = stage.wait(client.execute("SELECT COUNT(*) FROM bank"))
        assert rows is not None
        assert stage.wait(outcome(stage.pay(client, stage.account(2), 1))) == ""
        client.close()


@pytest.mark.parametrize("after_s", [0.02, 0.06, 0.1, 0.5])
def test_all_power_is_lost_while_buckets_move(after_s: float) -> None:
    """The database goes back to an epoch; the map in membership follows the tables."""
    with staged(seed=int(after_s * 100)) as stage:
        before = rows_in(stage, 1) + rows_in(stage, 2)
        begin(stage, 1, 2)
        stage.run(after_s)
        Blackouts(stage.grid, stage.guarantees).strike()
        stage.run(1.0)
        stage.until(stage.grid.is_whole)
        assert rows_in(stage, 1) + rows_in(stage, 2) == before
