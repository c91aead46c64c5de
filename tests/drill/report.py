"""What a drill says: verdicts, counts, throughput and pauses over time, errors, how to replay."""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tests.drill.clients import Recorder
from tests.drill.faults import Done
from tests.drill.history import Operation, Outcome, Verdict

BAR_WIDTH = 50
AFTER_S = 0.5  # a pause counts for a fault if it began before this long after its healing
TEXT_MAX = 120  # characters of an error


@dataclass(frozen=True)
class Run:
    """Everything about one drill."""

    seed: int
    seconds: float
    k: int
    data: int
    began_s: float  # monotonic, like all times in the history
    ended_s: float
    command: str
    levels: tuple[str, ...]
    recorder: Recorder
    faults: Sequence[Done]
    verdicts: Sequence[Verdict]
    memory: Mapping[str, Sequence[tuple[float, float]]]  # process -> (seconds, MB)
    notes: Sequence[str] = ()
    held: Sequence[tuple[float, float]] = ()  # from when to when the load was held

    @property
    def is_good(self) -> bool:
        """Nothing that is promised was violated, and the checkers saw something."""
        return all(v.word in ("holds", "not promised yet", "nothing seen") for v in self.verdicts)


def text(run: Run) -> str:
    """The report."""
    parts = [
        [
            f"# Drill: seed {run.seed}, K={run.k}, {run.data} data instances, {run.seconds:.0f} s",
            "",
            f"Again: `{run.command}`",
            "",
            f"**{'Every guarantee held.' if run.is_good else 'A GUARANTEE WAS VIOLATED.'}**"
            f" Isolation levels of the sums: {', '.join(run.levels)}.",
            *(("", *run.notes) if run.notes else ()),
        ],
        _verdicts(run.verdicts),
        _operations(run.recorder.history),
        _faults(run),
        _errors(run.recorder),
        _memory(run),
        _throughput(run),
    ]
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return lines + ["| " + " | ".join(map(str, row)) + " |" for row in rows]


def _verdicts(verdicts: Sequence[Verdict]) -> list[str]:
    rows = [(v.checker, f"**{v.word}**", v.checked, len(v.violations)) for v in verdicts]
    lines = ["## Verdicts", "", *_table(("checker", "verdict", "checked", "violations"), rows)]
    for verdict in verdicts:
        if verdict.violations:
            lines += ["", f"{verdict.checker}:", ""]
            lines += [f"- {violation}" for violation in verdict.violations]
    return lines


def _operations(history: Sequence[Operation]) -> list[str]:
    counts: Counter[tuple[str, str, Outcome]] = Counter()
    times: dict[tuple[str, str], list[float]] = defaultdict(list)
    for o in history:
        counts[(o.workload, o.action, o.outcome)] += 1
        if o.outcome is Outcome.OK:
            times[(o.workload, o.action)].append((o.end_s - o.start_s) * 1000)
    rows = []
    for workload, action in sorted({(w, a) for w, a, _ in counts}):
        taken = sorted(times[(workload, action)])
        rows.append(
            (
                f"{workload} {action}",
                *(counts[(workload, action, outcome)] for outcome in Outcome),
                f"{statistics.median(taken):.1f}" if taken else "",
                f"{taken[int(len(taken) * 0.99)]:.1f}" if taken else "",
            )
        )
    head = ("operation", "acknowledged", "refused", "unknown", "median ms", "p99 ms")
    return ["## Operations", "", *_table(head, rows)]


def pauses(history: Sequence[Operation], began_s: float) -> dict[int, list[tuple[float, float]]]:
    """Of each client: from when to when nothing was acknowledged."""
    found: dict[int, list[tuple[float, float]]] = defaultdict(list)
    last: dict[int, float] = {}
    for o in sorted(history, key=lambda operation: operation.end_s):
        if o.outcome is Outcome.OK:
            found[o.process].append((last.get(o.process, began_s), o.end_s))
            last[o.process] = o.end_s
    return found


def waited_s(run: Run, start_s: float, end_s: float) -> float:
    """How long a pause was, without the time in which the drill itself held the load."""
    held_s = sum(max(0.0, min(end_s, to_s) - max(start_s, from_s)) for from_s, to_s in run.held)
    return end_s - start_s - held_s


@dataclass(frozen=True)
class FaultLine:
    """One fault, and the longest pause of each client around it, in seconds."""

    at_s: float
    what: str
    put_back_s: float | None  # after its beginning; None: never
    whole_s: float | None
    elsewhere_s: tuple[float, ...]  # of clients that were not connected to what was hit
    there_s: tuple[float, ...]


def fault_lines(run: Run) -> list[FaultLine]:
    """Of all faults, in order."""
    lines = []
    history = run.recorder.history
    gaps = pauses(history, run.began_s)
    for done in run.faults:
        healed_s = done.healed_s or run.ended_s
        longest = {
            client: max(
                (
                    waited_s(run, s, e)
                    for s, e in some
                    if e > done.from_s and s < healed_s + AFTER_S
                ),
                default=0.0,
            )
            for client, some in gaps.items()
        }
        there = {
            o.process
            for o in history
            if o.server in done.hit and o.end_s > done.from_s and o.start_s < healed_s
        }
        elsewhere = [pause for client, pause in longest.items() if client not in there]
        lines.append(
            FaultLine(
                done.from_s - run.began_s,
                done.what,
                done.healed_s - done.from_s if done.healed_s else None,
                done.whole_s - done.from_s if done.whole_s else None,
                tuple(elsewhere),
                tuple(longest[client] for client in there & longest.keys()),
            )
        )
    return lines


def _faults(run: Run) -> list[str]:
    rows = [
        (
            f"{line.at_s:.1f}",
            line.what,
            _seconds(line.put_back_s),
            _seconds(line.whole_s),
            _middle_and_most(line.elsewhere_s),
            _middle_and_most(line.there_s),
        )
        for line in fault_lines(run)
    ]
    head = ("at s", "fault", "put back after s", "whole after s", "elsewhere", "at what was hit")
    title = "## Faults, and the clients' longest pauses around each (median and worst, seconds)"
    return [title, "", *_table(head, rows)]


def _seconds(time_s: float | None) -> str:
    return "never" if time_s is None else f"{time_s:.1f}"


def _middle_and_most(pauses_s: Sequence[float]) -> str:
    return f"{statistics.median(pauses_s):.2f} / {max(pauses_s):.2f}" if pauses_s else "–"


def _errors(recorder: Recorder) -> list[str]:
    rows = [
        (
            where,
            state,
            count,
            " ".join(recorder.texts[(where, state)].replace("|", "/").split())[:TEXT_MAX],
        )
        for (where, state), count in sorted(recorder.errors.items())
    ]
    head = ("where", "SQLSTATE", "times", "the first one")
    return ["## Errors", "", *_table(head, rows)]


def _memory(run: Run) -> list[str]:
    rows = [
        (name, *(f"{mb:.0f}" for mb in (some[0][1], max(mb for _, mb in some), some[-1][1])))
        for name, some in sorted(run.memory.items())
    ]
    return ["## Resident memory, MB", "", *_table(("process", "first", "most", "last"), rows)]


def as_json(run: Run) -> dict[str, Any]:
    """What `-o json` prints; times in seconds since the load began."""
    return {
        "seed": run.seed,
        "seconds": run.seconds,
        "k": run.k,
        "data": run.data,
        "again": run.command,
        "good": run.is_good,
        "notes": list(run.notes),
        "levels": list(run.levels),
        "verdicts": [
            {"checker": v.checker, "word": v.word, "checked": v.checked, "wrong": v.violations}
            for v in run.verdicts
        ],
        "operations": Counter(str(o.outcome) for o in run.recorder.history),
        "errors": [
            {"where": where, "sqlstate": state, "times": times}
            for (where, state), times in sorted(run.recorder.errors.items())
        ],
        "faults": [asdict(line) for line in fault_lines(run)],
        "per_second": per_second(run),
        "memory_mb": {
            name: [(round(at - run.began_s, 1), round(mb, 1)) for at, mb in some]
            for name, some in run.memory.items()
        },
    }


def per_second(run: Run) -> list[tuple[int, int]]:
    """(acknowledged, refused or unknown) operations in each second."""
    seconds = int(run.ended_s - run.began_s) + 1
    found = [[0, 0] for _ in range(seconds)]
    for o in run.recorder.history:
        at = int(o.end_s - run.began_s)
        if 0 <= at < seconds:
            found[at][o.outcome is not Outcome.OK] += 1
    return [(good, bad) for good, bad in found]


def _throughput(run: Run) -> list[str]:
    counts = per_second(run)
    most = max((good for good, _ in counts), default=0) or 1
    marks: dict[int, str] = {}
    for done in run.faults:
        at = int(done.from_s - run.began_s)
        marks[at] = f"{marks[at]}; {done.what}" if at in marks else done.what
    lines = ["## Operations per second", "", "```", "second  good   bad"]
    for second, (good, bad) in enumerate(counts):
        bar = "#" * round(good * BAR_WIDTH / most)
        mark = f"  <- {marks[second]}" if second in marks else ""
        lines.append(f"{second:6d}{good:6d}{bad:6d}  {bar}{mark}")
    return [*lines, "```"]
