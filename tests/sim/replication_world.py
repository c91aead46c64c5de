"""A replica set in virtual time: pure machines, a faulty network, a membership service, clients.

Everything follows from the seed. After every step the guarantees of design §2 are checked:
G1 (an acknowledged or visible entry is on every copy that counts itself in sync), G4 (one lead at
a time may answer, and it has everything that was acknowledged), G5 (equal logs).
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from types import MappingProxyType
from typing import Any

from data.replication import actions as act
from data.replication.replica_set import ReplicaSet
from data.storage.touched import Touched
from membership.port import LEASE_SHARE, ClusterView, InstanceInfo, SetState
from protocol.ids import InstanceName
from tests.sim.replication_nodes import KEYS, Entry, Node, body_of, entries_of

DB, RS = "sim", 1
T = 2.0  # session timeout


class Violation(AssertionError):
    """A guarantee was broken."""


class World:
    """Seeded. `run` to the end, then `verdict`."""

    def __init__(self, seed: int, k: int, fault_rate: float = 1.0) -> None:
        self.rng = random.Random(seed)
        self.seed, self.k = seed, k
        self.now = 1000.0
        self.heap: list[tuple[float, int, Callable[[], None]]] = []
        self.order = 0
        self.steps = 0
        self.nodes = {e: Node(e) for e in range(1, k + 1)}
        self.instances: dict[str, InstanceInfo] = {}
        self.dead: set[str] = set()
        self.state: SetState | None = None
        self.cut_links: set[tuple[int, int]] = set()
        self.witnesses = range(-1, -1 - self.rng.choice([0, 1, 2, 3]), -1)  # hosts of other sets
        self.loss = self.rng.choice([0.0, 0.01, 0.1])
        self.repeat = self.rng.choice([0.0, 0.05])
        self.chunk = self.rng.choice([2, 20])  # entries a copy that catches up gets at a time
        self.durable = self.rng.random() < 0.5
        self.faults_until = self.now + 30.0
        self.fault_rate = fault_rate
        self.acked: list[Entry] = []
        self.known: dict[tuple[int, int], tuple[Entry, tuple[int, int]]] = {}
        self.next_value = 1
        self.max_pause_s = 0.0
        self.stats = {"acked": 0, "takeovers": 0, "handovers": 0, "undone": 0, "snapshots": 0}
        self.stats["ahead"] = self.stats["read at copies"] = self.stats["read beyond"] = 0
        self.trace: list[str] = []
        for number in self.witnesses:
            name = f"host{number}"
            self.instances[name] = InstanceInfo(InstanceName(name), "data", name, "127.0.0.1", 1)
        for node in self.nodes.values():
            self.later(self.rng.random() * 0.5, lambda n=node: self.start(n))
        self.later(0.5, self.write)
        self.later(2.0, self.fault)
        self.later(0.7, self.want_reads)
        self.later(1.0, self.housekeeping)

    # -- time -------------------------------------------------------------------------------------
    def later(self, delay_s: float, function: Callable[[], None]) -> None:
        self.order += 1
        heapq.heappush(self.heap, (self.now + delay_s, self.order, function))

    def run(self, until: float) -> None:
        while self.heap and self.heap[0][0] <= until:
            self.now, _, function = heapq.heappop(self.heap)
            function()
            self.steps += 1
            self.check()
        self.now = until

    def note(self, text: str) -> None:
        self.trace.append(f"{self.now - 1000:9.4f} {text}")

    def on(self, node: Node, life: int, function: Callable[[], None]) -> None:
        """Something happens at a node, unless that life of it is over; later if it is paused."""
        if not node.up or node.life != life:
            return
        if node.paused:
            node.waiting.append(lambda: self.on(node, life, function))
        else:
            function()

    # -- life of a node ---------------------------------------------------------------------------
    def start(self, node: Node) -> None:
        if node.up:
            return
        node.life += 1
        node.up, node.paused, node.waiting = True, False, []
        node.session, node.has_session, node.batch = 0, False, None
        node.view_due = False
        node.touched = Touched(node.store.tail().lsn)
        node.machine = ReplicaSet(
            DB, RS, node.element, node.incarnation, T, node.store.shape(), node.store.damaged,
            self.now,
        )  # fmt: skip
        self.note(f"start {node.incarnation} tail {node.store.tail()} damaged {node.store.damaged}")
        preferred = 1 + (RS - 1) % self.k
        members = {e: n.name for e, n in self.nodes.items()}
        self.perform(node, node.machine.map_changed(members, preferred, self.now))
        self.connect(node)
        self.link_changed(node.element, True)
        self.tick(node, node.life)

    def tick(self, node: Node, life: int) -> None:
        if not node.up or node.life != life:
            return

        def do() -> None:
            assert node.machine is not None
            node.machine.situation.reaches = self.reaches(node)
            self.perform(node, node.machine.ticked(self.now, self.serving_until(node)))

        self.on(node, life, do)
        self.later(T / 20 * self.rng.uniform(0.9, 1.1), lambda: self.tick(node, life))

    def reaches(self, node: Node) -> frozenset[str]:
        """Instances that answered lately, directly."""
        me = node.element
        for number in (*self.nodes, *self.witnesses):
            other = self.nodes.get(number)
            runs = other is None or (other.up and not other.paused)
            if runs and (me, number) not in self.cut_links and (number, me) not in self.cut_links:
                node.heard_s[f"host{number}"] = self.now
        return frozenset(n for n, at_s in node.heard_s.items() if self.now - at_s < T / 4)

    def link_changed(self, of: int, connected: bool) -> None:
        """The connections of a process break with it; they may break without a reason too."""
        for node in self.nodes.values():
            if node.up and node.element != of and (connected or self.rng.random() < 0.9):

                def do(node: Node = node) -> None:
                    assert node.machine is not None
                    self.perform(node, node.machine.link_changed(of, connected, self.now))

                delay = self.rng.uniform(0.0001, 0.02)
                self.later(delay, lambda n=node, f=do: self.on(n, n.life, f))

    def stop_process(self, node: Node, proof: bool, power: bool) -> None:
        self.note(f"crash {node.incarnation} proof {proof} power {power}")
        node.up, node.machine, node.batch = False, None, None
        if power and not self.durable:
            keep = self.rng.randint(min(node.store.flushed, len(node.store.log)),
                                    len(node.store.log))  # fmt: skip
            keep = max(keep, node.store.cut)
            if keep < len(node.store.log) or self.rng.random() < 0.5:
                node.store.undo_to(keep)
            node.store.damaged = True
        incarnation, life = node.incarnation, node.life
        self.link_changed(node.element, False)
        self.later(T, lambda: self.expire(node, life))
        if proof:
            self.later(self.rng.uniform(0.002, 0.05), lambda: self.bury(incarnation))

    def bury(self, incarnation: str) -> None:
        self.dead.add(incarnation)
        self.instances = {n: i for n, i in self.instances.items() if i.incarnation != incarnation}
        self.publish()

    # -- membership service -----------------------------------------------------------------------
    def connect(self, node: Node) -> None:
        if not node.up or node.zk_cut or node.paused or node.has_session:
            return
        node.session += 1
        node.has_session = True
        self.instances[node.name] = InstanceInfo(
            InstanceName(node.name), "data", node.incarnation, "127.0.0.1", 1
        )
        self.publish()

    def expire(self, node: Node, life: int) -> None:
        """The service ends a session that was silent for T."""
        info = self.instances.get(node.name)
        if node.life == life and node.up:
            if not (node.zk_cut or node.paused) or not node.has_session:
                return
            if self.now - node.contact_s < T - 1e-9:
                return
            node.has_session = False
        if info is not None and info.incarnation == f"{node.name}#{life}":
            del self.instances[node.name]
            self.note(f"expired {node.name}#{life}")
            self.publish()

    def expire_early(self, node: Node) -> None:
        """The service forgets a session whose owner is well, and learns of it only later."""
        if node.zk_cut or not node.has_session:
            return
        self.instances.pop(node.name, None)
        node.contact_s = self.now
        node.zk_cut = True
        life = node.life

        def learn() -> None:
            node.zk_cut = False
            if node.life == life:
                node.has_session = False
            self.connect(node)

        self.later(self.rng.uniform(0.1, 0.6) * T, learn)
        self.publish()

    def serving_until(self, node: Node) -> float:
        if not node.has_session:
            return 0.0
        if not node.zk_cut and not node.paused:
            node.contact_s = self.now
        return node.contact_s + LEASE_SHARE * T

    def cut_from_service(self, node: Node, cut: bool) -> None:
        node.contact_s = self.now if cut and not node.zk_cut and not node.paused else node.contact_s
        node.zk_cut = cut
        life = node.life
        if cut:
            self.later(T + 1e-6, lambda: self.expire(node, life))
        else:
            self.connect(node)
        self.publish()

    def publish(self) -> None:
        for node in self.nodes.values():
            if node.up and not node.view_due:
                node.view_due = True
                delay = self.rng.uniform(0.001, 0.6 if node.slow_view else 0.02)
                self.later(delay, lambda n=node, life=node.life: self.deliver_view(n, life))

    def deliver_view(self, node: Node, life: int) -> None:
        if not node.up or node.life != life:
            return
        node.view_due = False
        connected = node.has_session and not node.zk_cut and not node.paused
        if connected or node.machine is None:
            sets = {(DB, RS): self.state} if self.state is not None else {}
            view = ClusterView(
                True, node.session, MappingProxyType(dict(self.instances)), frozenset(self.dead),
                MappingProxyType(sets), MappingProxyType({DB: b""}),
            )  # fmt: skip
        else:
            old = node.machine.situation.view
            view = ClusterView(False, node.session, old.instances, old.dead, old.sets, old.maps)

        def do() -> None:
            assert node.machine is not None
            self.perform(node, node.machine.view_changed(view, self.now))

        self.on(node, life, do)

    def service_request(self, node: Node, expected: SetState | None, new: SetState | None) -> None:
        """Create, compare-and-set or read, with every fate a request may have."""
        life = node.life
        self.note(
            f"ask {node.incarnation} {new and (new.counter, new.in_sync)}"
            f" on {expected and expected.counter}"
        )
        reachable = node.has_session and not node.zk_cut
        fate = self.rng.random()
        quiet = self.now > self.faults_until
        lost_on_way = not reachable or (fate < 0.02 and not quiet)
        answer_lost = fate > 0.96 and not quiet
        delay = self.rng.uniform(0.001, 0.01)
        if new is not None and fate > 0.9 and not quiet:
            delay = self.rng.uniform(0.01, 3.0)  # stuck in the service while its client goes on

        def answer(value: SetState | None) -> None:
            assert node.machine is not None
            self.note(f"answer {node.incarnation} {new and new.counter}: {value and value.counter}")
            self.perform(node, node.machine.set_answered(new, value, self.now))

        def unknown() -> None:
            assert node.machine is not None
            self.note(f"unanswered {node.incarnation} {new and new.counter}")
            self.perform(node, node.machine.set_unanswered(new, self.now))

        def arrive() -> None:
            if new is not None and self.state == expected:
                self.state = new
                self.note(f"set {new}")
                self.publish()
            value = self.state
            if not answer_lost:
                back = self.rng.uniform(0.001, 0.01)
                self.later(back, lambda: self.on(node, life, lambda: answer(value)))

        if not lost_on_way:
            self.later(delay, arrive)
        if lost_on_way or answer_lost:
            after = self.rng.uniform(0.01, 1.0)
            self.later(after, lambda: self.on(node, life, unknown))

    # -- network ----------------------------------------------------------------------------------
    def send(self, source: Node, to: int, message: Any, reply_to: int | None = None) -> None:
        target = self.nodes[to]
        copies = 2 if self.rng.random() < self.repeat else 1
        quiet = self.now > self.faults_until
        for _ in range(copies):
            if (source.element, to) in self.cut_links:
                continue
            if not quiet and self.rng.random() < self.loss:
                continue
            delay = self.rng.uniform(0.0005, 0.01)
            if not quiet and self.rng.random() < 0.02:
                delay = self.rng.uniform(0.01, 4.0)
            self.later(delay, lambda: self.arrive(source, target, message))

    def arrive(self, source: Node, target: Node, message: Any) -> None:
        def do() -> None:
            assert target.machine is not None
            self.perform(target, target.machine.arrived(message, self.now), source.element)

        if target.up:
            self.on(target, target.life, do)
        elif source.up and self.rng.random() < 0.5:  # connection refused
            life = source.life

            def refused() -> None:
                assert source.machine is not None
                self.perform(source, source.machine.unsent(target.element, self.now))

            self.later(0.001, lambda: self.on(source, life, refused))

    # -- what machines ask for --------------------------------------------------------------------
    def perform(self, node: Node, actions: list[act.Action], asker: int = 0) -> None:
        machine = node.machine
        assert machine is not None
        for action in actions:
            match action:
                case act.Send(to, message):
                    self.send(node, to, message)
                case act.Reply(message):
                    self.send(node, asker, message)
                case act.Store(body, after, _):
                    if self.rng.random() < 0.001 and self.now < self.faults_until:
                        self.note(f"store failed {node.name}")
                        changed = machine.log_changed(
                            node.store.shape(), node.store.damaged, self.now
                        )
                        self.perform(node, changed)
                        return
                    for entry in entries_of(body):
                        if entry.lsn > after:
                            node.touched.bucket(entry.key, entry.lsn)
                            self.put(node, entry)
                case act.CheckHeld(body, upto):
                    for entry in entries_of(body):
                        if node.store.cut < entry.lsn <= upto:
                            self.require(
                                node.store.log[entry.lsn - 1] == entry, "other content held"
                            )
                case act.Undo(after):
                    self.stats["undone"] += len(node.store.log) - after
                    node.touched.everything(len(node.store.log))
                    node.store.undo_to(after)
                case act.ReadLog(to, after):
                    self.read_log(node, to, after)
                case act.CommitBatch():
                    self.commit(node)
                case act.FailBatch() | act.LeadLost():
                    node.batch = None
                case act.LeadGained():
                    self.stats["takeovers"] += 1
                    self.note(f"lead {node.incarnation} {action}")
                case act.Release(to, message):
                    self.stats["handovers"] += 1
                    self.note(f"release {node.incarnation} to {to}")
                    self.send(node, to, message)
                case act.CreateSet(new):
                    self.service_request(node, None, new)
                case act.CompareAndSet(expected, new):
                    self.service_request(node, expected, new)
                case act.ReadSet():
                    self.service_request(node, None, None)
                case act.MarkInSync():
                    node.store.damaged = False
                    node.store.flushed = len(node.store.log)
                case act.ForceSync(forced):
                    node.store.forced = forced
                    if forced:
                        node.store.flushed = len(node.store.log)
                case act.PullSnapshot(source, _):
                    self.pull(node, node.life, source)
                case act.SetCommitPoint():
                    pass

    def read_log(self, node: Node, to: int, after: int) -> None:
        life = node.life
        store = node.store

        def do() -> None:
            assert node.machine is not None
            chunk: tuple[Entry, ...] = ()
            if after >= store.cut:
                chunk = tuple(store.log[after : after + self.rng.randint(1, self.chunk)])
            shape = node.machine.situation.shape
            spans = shape.spans_between(after, chunk[-1].lsn) if chunk else ()
            self.perform(
                node,
                node.machine.log_read(to, after, spans, body_of(chunk), self.now),
            )

        self.later(0.001, lambda: self.on(node, life, do))

    def pull(self, node: Node, life: int, source: int) -> None:
        giver = self.nodes[source]

        def copy() -> None:
            ok = giver.up and (source, node.element) not in self.cut_links
            taken = (list(giver.store.log), giver.store.start, giver.store.cut,
                     list(giver.store.rows))  # fmt: skip
            delay = self.rng.uniform(0.01, 1.0)
            self.later(delay, lambda: self.on(node, life, lambda: install(taken if ok else None)))

        def install(taken: Any) -> None:
            assert node.machine is not None
            if taken is not None:
                self.stats["snapshots"] += 1
                store = node.store
                store.log, store.start, store.cut, store.rows = taken
                store.damaged, store.flushed = True, 0
                node.touched.everything(store.tail().lsn)
            changed = node.machine.log_changed(node.store.shape(), node.store.damaged, self.now)
            self.perform(node, changed)

        self.later(self.rng.uniform(0.01, 0.3), copy)

    # -- clients ----------------------------------------------------------------------------------
    def write(self) -> None:
        self.later(self.rng.expovariate(1 / 0.03), self.write)
        leads = [n for n in self.nodes.values()
                 if n.up and not n.paused and n.machine and n.machine.leads]  # fmt: skip
        if not leads:
            return
        node = self.rng.choice(leads)
        if node.batch is not None:
            return
        machine = node.machine
        assert machine is not None
        first = len(node.store.log) + 1
        rows = list(node.store.rows)
        node.batch = []
        for lsn in range(first, first + self.rng.randint(1, 3)):
            key = self.rng.randrange(KEYS)
            node.batch.append(Entry(machine.term, lsn, key, rows[key], self.next_value))
            rows[key] = self.next_value
            self.next_value += 1
        span = (machine.term, first, node.batch[-1].lsn)
        body = body_of(node.batch)
        ahead = self.rng.random() < 0.2
        self.perform(node, machine.batch_appended(span, body, self.now, ahead=ahead))
        if ahead:
            self.apply_late(node, node.batch)

    def want_reads(self) -> None:
        """Somebody wants to read somewhere."""
        self.later(self.rng.expovariate(1 / 0.05), self.want_reads)
        node = self.rng.choice(list(self.nodes.values()))
        if node.machine is not None and node.up and not node.paused:
            self.perform(node, node.machine.reading.wanted(self.now))

    def apply_late(self, node: Node, batch: list[Entry] | None) -> None:
        """The lead itself has put the batch into effect some time after it was sent."""

        def applied() -> None:
            if batch is None or node.batch is not batch or not node.up:
                return
            if node.paused:
                self.apply_late(node, batch)
                return
            assert node.machine is not None
            self.stats["ahead"] += 1
            self.perform(node, node.machine.batch_applied(self.now))

        self.later(self.rng.expovariate(1 / 0.1), applied)

    def commit(self, node: Node) -> None:
        assert node.batch is not None
        assert node.machine is not None
        if self.rng.random() < 0.001 and self.now < self.faults_until:
            self.note(f"commit failed {node.name}")
            node.batch = None
            shape = node.machine.situation.shape
            shape.undo_to(len(node.store.log))
            self.perform(node, node.machine.term_failed(self.now))
            return
        batch, node.batch = node.batch, None
        for entry in batch:
            node.touched.everything(entry.lsn)
            self.put(node, entry)
        self.acknowledge(node, batch)

    def acknowledge(self, node: Node, batch: list[Entry]) -> None:
        """The client got its answer: these entries are promised from now on.

        A lead that was paused may hear the acknowledgements late, when its entries are long part
        of a newer term's log: then they must be exactly there.
        """
        self.stats["acked"] += 1
        for entry in batch:
            if entry.lsn <= len(self.acked):
                if self.acked[entry.lsn - 1] != entry:
                    self.require(False, f"overwritten: {entry}")
            else:
                self.promise(node)  # and with it what the take-over made the truth

    def promise(self, node: Node, how: str = "lead", upto: int | None = None) -> None:
        """This element may be read: what it shows is promised, and it must hold all that is.

        So reads are linearizable: none shows less than an earlier one, or than was acknowledged.
        upto: the newest entry whose effect is shown, None: the newest of all.
        """
        log = node.store.log
        if len(log) < len(self.acked):
            self.require(False, f"{how}: {node.name} lacks acknowledged entries")
        if self.acked and log[len(self.acked) - 1] != self.acked[-1]:
            self.require(False, f"{how}: another entry acknowledged")
        self.acked.extend(log[len(self.acked) : upto])

    def put(self, node: Node, entry: Entry) -> None:
        before = node.store.tail()
        node.store.apply(entry)
        known = self.known.setdefault((entry.term, entry.lsn), (entry, before))
        if known != (entry, before):
            self.require(False, f"two logs differ at {entry} {known}")

    # -- faults -----------------------------------------------------------------------------------
    def fault(self) -> None:
        if self.now > self.faults_until:
            return
        self.later(self.rng.expovariate(self.fault_rate / 1.5), self.fault)
        node = self.rng.choice(list(self.nodes.values()))
        lead = [n for n in self.nodes.values() if n.machine is not None and n.machine.leads]
        if lead and self.rng.random() < 0.5:
            node = lead[0]
        kind = self.rng.choice(
            [
                "crash",
                "crash",
                "pause",
                "link",
                "service",
                "power",
                "slow",
                "handover",
                "failterm",
                "expire",
                "isolate",
                "reset",
            ]
        )
        length = self.rng.choice([0.1, 0.5, 1.0, 2.5, 5.0]) * self.rng.uniform(0.5, 1.5)
        self.note(f"fault {kind} {node.incarnation} for {length:.2f}")
        if kind in ("crash", "power") and node.up:
            self.stop_process(node, self.rng.random() < 0.6, kind == "power")
            self.later(length, lambda: self.start(node))
        elif kind == "pause" and node.up and not node.paused:
            self.pause(node)
            life = node.life
            self.later(length, lambda: self.resume(node, life))
        elif kind == "link" and self.k > 1:
            other = self.rng.choice([e for e in self.nodes if e != node.element])
            links = {(node.element, other)}
            if self.rng.random() < 0.8:
                links.add((other, node.element))
            self.cut_links |= links
            self.later(length, lambda: self.cut_links.difference_update(links))
        elif kind == "isolate":
            others = {*self.nodes, *self.witnesses} - {node.element}
            if self.rng.random() < 0.5 and len(others) > 1:  # not from all of them
                others = set(self.rng.sample(sorted(others), self.rng.randint(1, len(others) - 1)))
            ways = self.rng.choice([(True, False), (False, True), (True, True), (True, True)])
            links = {(node.element, e) for e in others if ways[0]}
            links |= {(e, node.element) for e in others if ways[1]}
            self.cut_links |= links
            self.later(length, lambda: self.cut_links.difference_update(links))
        elif kind == "reset":
            self.link_changed(node.element, False)
            self.later(length / 5, lambda: self.link_changed(node.element, True))
        elif kind == "service" and node.up:
            self.cut_from_service(node, True)
            self.later(length, lambda: self.cut_from_service(node, False))
        elif kind == "expire" and node.up and not node.paused:
            self.expire_early(node)
        elif kind == "slow":
            node.slow_view = not node.slow_view
        elif kind == "handover" and node.machine is not None and not node.paused:
            node.machine.hand_over(self.now)
            self.perform(node, node.machine.flush(self.now))
        elif kind == "failterm" and node.machine is not None and not node.paused:
            self.perform(node, node.machine.term_failed(self.now))

    def pause(self, node: Node) -> None:
        if not node.zk_cut:
            node.contact_s = self.now
        node.paused = True
        life = node.life
        self.later(T + 1e-6, lambda: self.expire(node, life))

    def resume(self, node: Node, life: int) -> None:
        if not node.up or node.life != life or not node.paused:
            return
        node.paused = False
        waiting, node.waiting = node.waiting, []
        self.rng.shuffle(waiting)
        for function in waiting:  # the kernel's buffers, in any order
            self.later(self.rng.uniform(0, 0.002), function)
        self.connect(node)
        self.later(0.0021, self.publish)  # pictures of membership are never out of order at the end

    def housekeeping(self) -> None:
        self.later(self.rng.uniform(0.2, 1.0), self.housekeeping)
        node = self.rng.choice(list(self.nodes.values()))
        if node.machine is None or node.paused:
            return
        if self.rng.random() < 0.5:
            node.store.flushed = len(node.store.log)
        limit = min(node.machine.situation.commit_lsn, node.machine.situation.tail.lsn)
        if self.rng.random() < 0.5 and limit > 1:
            node.store.cut_to(self.rng.randint(1, limit))
            node.machine.log_cut(node.store.start)

    # -- guarantees -------------------------------------------------------------------------------
    def require(self, condition: bool, text: str) -> None:
        if not condition:
            raise Violation(f"seed {self.seed} k {self.k}: {text}\n" + "\n".join(self.trace[-60:]))

    def check(self) -> None:
        serving = 0
        for node in self.nodes.values():
            machine = node.machine
            if machine is None or node.paused:
                continue
            if machine.leadership is None:
                if self.now < machine.reading.until_s():
                    self.promise(node, "read at a copy", self.shown(node, machine.lead_commit_lsn))
                continue
            lead = machine.leadership
            if (
                lead.serving
                and self.now < lead.lease_until_s
                and self.now < self.serving_until(node)
            ):
                serving += 1
                self.promise(node)  # whoever reads now sees all this lead holds
        self.require(serving <= 1, "two leads may answer")
        if self.state is None or not self.acked:
            return
        last = self.acked[-1]
        for element in self.state.in_sync:
            store = self.nodes[element].store
            log = store.log
            # the text is made only when it is wanted: this runs after every step
            if not store.damaged and (len(log) < last.lsn or log[last.lsn - 1] != last):
                text = f"element {element} is in sync but lacks {last}, ends at {store.tail()}"
                self.require(False, text)

    def shown(self, node: Node, commit_lsn: int) -> int:
        """The newest entry that a reader of any key may see at a copy that may answer."""
        newest = commit_lsn
        keys = [key for key in range(KEYS) if node.touched.is_quiet(key, commit_lsn)]
        self.stats["read at copies"] += len(keys)
        if keys and len(node.store.log) > commit_lsn:
            self.stats["read beyond"] += len(keys)
        for entry in node.store.log[commit_lsn:]:
            if entry.key in keys:
                newest = entry.lsn
        return newest

    def heal(self, down: frozenset[int]) -> None:
        """All faults end; nodes outside `down` run."""
        self.cut_links.clear()
        for node in self.nodes.values():
            for other in self.nodes.values():
                if node.machine is not None and other.up:
                    self.perform(node, node.machine.link_changed(other.element, True, self.now))
        for node in self.nodes.values():
            node.slow_view = False
            if node.zk_cut:
                self.cut_from_service(node, False)
            if node.paused:
                self.resume(node, node.life)
            if node.element in down:
                if node.up:
                    self.stop_process(node, True, False)
            elif not node.up:
                self.start(node)

    def verdict(self) -> None:
        """Faults have ended some time ago: everything that runs serves and is equal."""
        assert self.state is not None
        running = [n for n in self.nodes.values() if n.up]
        seeds = [n for n in running
                 if n.element in self.state.in_sync and not n.store.damaged]  # fmt: skip
        if not seeds:
            roles = {n.machine.role for n in running if n.machine is not None}
            self.require("lead" not in roles, "a lead without a seed")
            return
        leads = [n for n in running if n.machine is not None and n.machine.leads]
        self.require(len(leads) == 1, f"{len(leads)} leads, roles "
                     f"{[(n.element, n.machine and n.machine.role) for n in running]}")  # fmt: skip
        in_sync = {n.element for n in running}
        self.require(set(self.state.in_sync) == in_sync, f"in sync {self.state}, run {in_sync}")
        preferred = 1 + (RS - 1) % self.k
        if preferred in in_sync:
            self.require(leads[0].element == preferred, "the lead is not where it belongs")
        longest = max(len(n.store.log) for n in running)
        for node in running:
            self.require(not node.store.damaged, f"{node.name} still damaged")
            self.require(
                len(node.store.log) >= longest - 6
                and node.store.log[: longest - 6] == leads[0].store.log[: longest - 6],
                "logs differ at the end",
            )


def play(seed: int, k: int, fault_rate: float = 1.0) -> World:
    """One whole life: faults, then peace, then the verdict."""
    world = World(seed, k, fault_rate)
    world.run(world.faults_until)
    down = frozenset(e for e in world.nodes if world.rng.random() < 0.15)
    if len(down) == k:
        down = frozenset()
    world.heal(down)
    acked = len(world.acked)
    world.run(world.now + 14 * T)
    world.verdict()
    world.stats["progress_in_peace"] = len(world.acked) - acked
    return world
