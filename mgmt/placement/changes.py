"""What `dbDistribute -apply` does about the marks of the elements, and what it refuses. Pure.

The rules are TimesTen's: a replica set comes whole, one element of each of the K data space
groups; all K elements of a set go together unless each that goes has a replacement of its own
group; the last set cannot go; only what is dead is evicted; everything that takes part is loaded.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from mgmt.placement import replica_sets
from mgmt.placement.rebalance import balanced, is_balanced, ranges_of
from protocol.errors import ModelError
from protocol.topology import DistributionMap, ElementPlace


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """What shall become of one element."""

    element: int
    add: bool = False  # as part of a new replica set, unless it replaces another
    remove: bool = False
    evict: bool = False
    successor: int = 0  # the element that takes its place

    @property
    def goes(self) -> bool:
        """It leaves the map."""
        return self.remove or self.evict


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """How the elements are now."""

    loaded: frozenset[int]  # loaded, and their instances answer
    dead: frozenset[int]  # they serve nothing and will not by themselves: down, or not loadable
    led: frozenset[int]  # replica sets with a lead


class Replacement(msgspec.Struct, frozen=True):
    """`new` joins the replica set of `old` as a copy; then `old` leaves."""

    old: int
    new: int
    evicted: bool = False


class NewSet(msgspec.Struct, frozen=True):
    """Elements that become a replica set."""

    replica_set: int
    elements: tuple[int, ...]


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Everything one -apply does, in this order."""

    replacements: tuple[Replacement, ...] = ()
    evicted: tuple[int, ...] = ()  # dead replica sets
    new_sets: tuple[NewSet, ...] = ()
    removed: tuple[int, ...] = ()  # replica sets that give their buckets away
    after: tuple[int, ...] = ()  # the replica sets that hold rows in the end
    moves: bool = False  # buckets move between sets that live

    @property
    def is_empty(self) -> bool:
        """Nothing is to be done."""
        return not (
            self.replacements or self.evicted or self.new_sets or self.removed or self.moves
        )


def plan(
    current: DistributionMap,
    marks: Iterable[Mark],
    facts: Facts,
    *,
    first_number: int,
    force: bool = False,
) -> Plan:
    """The plan, or ModelError saying what is wrong and what to do.

    first_number: of the next new replica set. force: evict also what lives.
    """
    book = _Book(current, tuple(marks), facts)
    replacements: list[Replacement] = []
    evicted: list[int] = []
    removed: list[int] = []
    heirs: list[int] = []  # that replace the elements of a dead set, as a new one
    for number, going in sorted(book.going().items()):
        if all(m.evict for m in going) and book.is_whole(number, going):
            book.check_dead(going, force=force)
            evicted.append(number)
            if any(m.successor for m in going):
                book.check_all_replaced(number, going)
                heirs += [m.successor for m in going]
        elif all(m.successor for m in going):
            book.check_led(number)
            book.check_dead([m for m in going if m.evict], force=force)
            replacements += [Replacement(m.element, m.successor, m.evict) for m in going]
        else:
            book.check_whole(number, going)
            removed.append(number)
    fresh = book.added(heirs)
    added = book.unfinished((*evicted, *removed))
    if fresh:
        placed = replica_sets.form(fresh, k=current.k, first_number=first_number)
        for number in sorted({p.replica_set for p in placed}):
            members = tuple(p.element for p in placed if p.replica_set == number)
            added.append(NewSet(number, members))
    book.check_left(evicted, removed, added)
    sets = {*current.replica_sets(), *(s.replica_set for s in added)}
    after = tuple(sorted(sets - set(evicted) - set(removed)))
    unfinished = not replacements and not is_balanced(current.bucket_table(), after)
    made = Plan(
        replacements=tuple(replacements),
        evicted=tuple(evicted),
        new_sets=tuple(added),
        removed=tuple(removed),
        after=after,
        moves=bool(removed or len(fresh) > len(heirs) or (unfinished and not evicted)),
    )
    book.check_loaded(made)
    return made


def check_group(old: ElementPlace, new: ElementPlace) -> None:
    """A replacement is of the same data space group. Raises ModelError."""
    if new.data_space != old.data_space:
        raise ModelError(
            f"{new.instance} is in data space group {new.data_space} and cannot replace"
            f" {old.instance} of group {old.data_space}",
            hint="A replacement comes from the same data space group.",
        )


class _Book:
    """The map, the marks and the facts, with the rules."""

    def __init__(self, current: DistributionMap, marks: tuple[Mark, ...], facts: Facts) -> None:
        self.k = current.k
        self._facts = facts
        self._marks = marks
        self._places: Mapping[int, ElementPlace] = {e.element: e for e in current.elements}
        self._sets = current.replica_sets()
        self._idle = current.idle
        self._successors = {m.successor for m in marks if m.successor}
        for mark in marks:
            self._check_mark(mark)

    def _check_mark(self, mark: Mark) -> None:
        if mark.goes and not self._set_of(mark.element):
            raise ModelError(f"{self._name(mark.element)} is not in the distribution map")
        if not mark.successor:
            return
        old, new = self._places[mark.element], self._places.get(mark.successor)
        if new is None or new.replica_set not in (0, old.replica_set):
            raise ModelError(
                f"{self._name(mark.successor)} cannot replace {old.instance}: it is in the"
                " distribution map already"
            )
        check_group(old, new)
        if sum(m.successor == mark.successor for m in self._marks) > 1:
            raise ModelError(
                f"{new.instance} cannot replace two elements",
                hint="dbDistribute -reset takes marks back.",
            )

    def _set_of(self, element: int) -> int:
        place = self._places.get(element)
        return 0 if place is None else place.replica_set

    def _name(self, element: int) -> str:
        place = self._places.get(element)
        return f"element {element}" if place is None else place.instance

    def names(self, elements: Iterable[int]) -> str:
        """Instances of elements, for a message."""
        return ", ".join(self._name(e) for e in sorted(elements))

    def going(self) -> dict[int, list[Mark]]:
        """Marks of elements that leave, by replica set."""
        found: dict[int, list[Mark]] = {}
        for mark in self._marks:
            if mark.goes:
                found.setdefault(self._set_of(mark.element), []).append(mark)
        return found

    def added(self, heirs: Sequence[int]) -> list[ElementPlace]:
        """Elements outside the map that shall form new sets."""
        fresh = {m.element for m in self._marks if m.add} - self._successors
        chosen = sorted(fresh | set(heirs))
        return [self._places[e] for e in chosen if e in self._places and not self._set_of(e)]

    def unfinished(self, going: Sequence[int]) -> list[NewSet]:
        """Sets that an earlier -apply entered and did not make ready."""
        return [
            NewSet(number, tuple(e.element for e in self._sets[number]))
            for number in self._idle
            if number in self._sets and number not in going
        ]

    def _members(self, number: int) -> set[int]:
        """Elements of a set, without those that are about to replace others of it."""
        return {e.element for e in self._sets[number]} - self._successors

    def is_whole(self, number: int, going: Sequence[Mark]) -> bool:
        """All elements of the set go."""
        return self._members(number) == {m.element for m in going}

    def check_whole(self, number: int, going: Sequence[Mark]) -> None:
        """All K go, all in the same way, none with a replacement."""
        missing = self._members(number) - {m.element for m in going}
        verb = "evict" if going[0].evict else "remove"
        if missing or any(m.successor for m in going):
            without = missing or {m.element for m in going if not m.successor}
            raise ModelError(
                f"replica set {number} goes as a whole: all its {self.k} elements together, or each"
                f" that goes has a replacement (-replaceWith); see {self.names(without)}",
                hint=f"-{verb} the others too, or give each a -replaceWith of its own data space"
                " group; dbDistribute -reset takes marks back.",
            )
        if any(m.evict for m in going):
            raise ModelError(
                f"the elements of replica set {number} are to be removed and evicted at once",
                hint="Evict all of a dead replica set, or remove all of one that serves;"
                " dbDistribute -reset takes marks back.",
            )

    def check_all_replaced(self, number: int, going: Sequence[Mark]) -> None:
        """A dead set is replaced as a whole or not at all."""
        without = [m.element for m in going if not m.successor]
        if without:
            raise ModelError(
                f"replica set {number} is evicted as a whole: {self.names(without)} has no"
                " replacement and others have",
                hint="Give each of its elements a -replaceWith, or none;"
                " dbDistribute -reset takes marks back.",
            )

    def check_dead(self, going: Sequence[Mark], *, force: bool) -> None:
        """Only what is dead is evicted."""
        alive = [m.element for m in going if m.element not in self._facts.dead]
        if alive and not force:
            raise ModelError(
                f"{self.names(alive)} cannot be evicted: not permanently failed",
                hint="-remove takes elements out without losing rows; stop the instance first if"
                " it must go at any price, or -force: the rows of its replica set are lost.",
            )

    def check_led(self, number: int) -> None:
        """A copy can be filled only by a set that serves."""
        if number not in self._facts.led:
            raise ModelError(
                f"replica set {number} does not serve now: nobody can fill a replacement",
                hint="Bring one of its in-sync elements back; if all are lost for ever, -evict all"
                " of them.",
            )

    def check_left(
        self, evicted: Sequence[int], removed: Sequence[int], added: Sequence[NewSet]
    ) -> None:
        """Something must stay that holds the catalog, and somebody who takes the buckets."""
        if not evicted and not removed:
            return
        kept = set(self._sets) - set(evicted)
        if evicted and not kept:
            raise ModelError(
                "the only replica set of a database cannot be evicted",
                hint="Its data would be gone: dbDestroy the database and create it again.",
            )
        staying = kept - set(removed) - set(self._idle)
        if not staying and not added:
            raise ModelError(
                "the last replica set of a database cannot be removed",
                hint="Add another one first, or replace its elements (-replaceWith).",
            )
        silent = kept - self._facts.led - set(self._idle)
        if silent:
            listed = ", ".join(str(number) for number in sorted(silent))
            raise ModelError(
                f"replica set {listed} does not serve now",
                hint="Bring its elements back first, or evict it too if they are lost for ever.",
            )

    def check_loaded(self, made: Plan) -> None:
        """Newcomers must be loaded; where buckets move, everybody."""
        needed = {r.new for r in made.replacements}
        needed |= {e for s in made.new_sets for e in s.elements}
        if made.moves and not made.evicted:
            going = {r.old for r in made.replacements}
            needed |= {e.element for places in self._sets.values() for e in places} - going
        missing = needed - self._facts.loaded
        if missing:
            raise ModelError(
                f"all elements that take part must be loaded: {self.names(missing)} is not",
                hint="Start its instance and wait (ttGridAdmin dbStatus -element), or replace it.",
            )


# -- the maps on the way --------------------------------------------------------------------------
def joined(current: DistributionMap, pairs: Iterable[Replacement]) -> DistributionMap:
    """Each replacement is a member of the replica set of the element that it replaces."""
    sets = {e.element: e.replica_set for e in current.elements}
    wanted = {p.new: sets[p.old] for p in pairs if sets.get(p.old)}
    return with_sets(current, wanted)


def with_sets(current: DistributionMap, wanted: Mapping[int, int]) -> DistributionMap:
    """These elements belong to these replica sets; a version more if that changes anything."""
    elements = tuple(
        msgspec.structs.replace(e, replica_set=wanted.get(e.element, e.replica_set))
        for e in current.elements
    )
    return changed(current, elements)


def without(
    current: DistributionMap, gone: Iterable[int], evicted: Iterable[int] = ()
) -> DistributionMap:
    """These elements are not listed any more; nor are their sets idle, when they were the last.

    Those of them that were evicted are remembered until their instance has another element.
    """
    numbers, lost = frozenset(gone), frozenset(evicted)
    kept = tuple(e for e in current.elements if e.element not in numbers)
    new = changed(current, kept)
    left = {e.replica_set for e in kept}
    used = {e.instance for e in kept}
    places = (*current.evicted, *(e for e in current.elements if e.element in lost))
    return msgspec.structs.replace(
        new,
        idle=tuple(n for n in new.idle if n in left),
        evicted=tuple(e for e in places if e.instance not in used),
    )


def entered(current: DistributionMap, new: NewSet) -> DistributionMap:
    """The elements of a new set have their number; no statement goes there yet."""
    there = current.replica_sets().get(new.replica_set, ())
    if {e.element for e in there} >= set(new.elements):
        return current
    made = with_sets(current, dict.fromkeys(new.elements, new.replica_set))
    return msgspec.structs.replace(made, idle=(*current.idle, new.replica_set))


def aiming_at(current: DistributionMap, after: tuple[int, ...]) -> DistributionMap:
    """The same with the table of the end written down: balanced over the sets of `after`.

    What an interrupted operation wrote down stays, if it is for the same sets.
    """
    if {span.replica_set for span in current.next_ranges} == set(after):
        return current
    target = ranges_of(balanced(current.bucket_table(), after))
    return msgspec.structs.replace(
        current,
        version=current.version + 1,
        next_ranges=target,
        previous_ranges=current.ranges,
    )


def settled(current: DistributionMap) -> DistributionMap:
    """Nothing moves any more."""
    if not current.next_ranges:
        return current
    return msgspec.structs.replace(current, version=current.version + 1, next_ranges=())


def changed(current: DistributionMap, elements: tuple[ElementPlace, ...]) -> DistributionMap:
    """Other elements, and so the next version; the same map if they are the same."""
    if elements == current.elements:
        return current
    return msgspec.structs.replace(current, version=current.version + 1, elements=elements)
