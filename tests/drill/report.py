"""What a drill says: verdicts, counts, throughput and pauses over time, errors, how to replay."""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from tests.drill.clients import Recorder
from tests.drill.faults import Done
from tests.drill.history import Operation, Outcome, Verdict

BAR_WIDTH = 50
AFTER_S = 0.5  # a pause counts for a fault if it began before this long after its healing
TEXT_MAX = 120  # characters of an error
WIDTH, HEIGHT, MARGIN = 1200, 420, 60  # of the picture


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
        ],
        _verdicts(run.verdicts),
        _operations(run.recorder.history),
        _faults(run),
        _errors(run.recorder),
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


def _faults(run: Run) -> list[str]:
    rows = []
    history = run.recorder.history
    gaps = pauses(history, run.began_s)
    for done in run.faults:
        healed_s = done.healed_s or run.ended_s
        longest = {
            client: max(
                (e - s for s, e in some if e > done.from_s and s < healed_s + AFTER_S), default=0.0
            )
            for client, some in gaps.items()
        }
        there = {
            o.process
            for o in history
            if o.server in done.hit and o.end_s > done.from_s and o.start_s < healed_s
        }
        elsewhere = [pause for client, pause in longest.items() if client not in there]
        rows.append(
            (
                f"{done.from_s - run.began_s:.1f}",
                done.what,
                f"{done.healed_s - done.from_s:.1f}" if done.healed_s else "never",
                f"{done.whole_s - done.from_s:.1f}" if done.whole_s else "never",
                _middle_and_most(elsewhere),
                _middle_and_most([longest[client] for client in there & longest.keys()]),
            )
        )
    head = ("at s", "fault", "put back after s", "whole after s", "elsewhere", "at what was hit")
    title = "## Faults, and the clients' longest pauses around each (median and worst, seconds)"
    return [title, "", *_table(head, rows)]


def _middle_and_most(pauses_s: list[float]) -> str:
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


def picture(run: Run) -> str:
    """Throughput over time with the faults as bands, as SVG."""
    counts = per_second(run)
    most = max((good for good, _ in counts), default=0) or 1
    across = (WIDTH - 2 * MARGIN) / max(1, len(counts))
    down = HEIGHT - 2 * MARGIN
    base = HEIGHT - MARGIN

    def x(time_s: float) -> float:
        return MARGIN + (time_s - run.began_s) * across

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}"'
        ' font-family="sans-serif" font-size="11">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="{MARGIN}" y="24" font-size="15">Drill, seed {run.seed}, K={run.k}:'
        " acknowledged operations per second; grey: a fault, until every copy counts again</text>",
    ]
    for number, done in enumerate(run.faults):
        left, right = x(done.from_s), x(done.whole_s or run.ended_s)
        parts.append(
            f'<rect x="{left:.1f}" y="{MARGIN}" width="{max(1.0, right - left):.1f}"'
            f' height="{down}" fill="#dddddd"><title>{escape(done.what)}</title></rect>'
            f'<text x="{left:.1f}" y="{MARGIN - 4 - 11 * (number % 2)}">{number + 1}</text>'
        )
    for second, (good, bad) in enumerate(counts):
        left = MARGIN + second * across
        for count, colour, inset in ((good, "#3070b0", 0.1), (bad, "#c03030", 0.4)):
            tall = min(1.0, count / most) * down
            parts.append(
                f'<rect x="{left + inset * across:.1f}" y="{base - tall:.1f}"'
                f' width="{across * (0.9 - inset):.1f}" height="{tall:.1f}" fill="{colour}"/>'
            )
    for value in (0, most // 2, most):
        parts.append(f'<text x="8" y="{base - down * value / most + 4:.1f}">{value}</text>')
    step = max(1, len(counts) // 12)
    for second in range(0, len(counts), step):
        parts.append(f'<text x="{MARGIN + second * across:.1f}" y="{base + 16}">{second} s</text>')
    parts.append(
        f'<text x="{MARGIN}" y="{HEIGHT - 14}" fill="#c03030">red: refused or unknown</text></svg>'
    )
    return "\n".join(parts) + "\n"
