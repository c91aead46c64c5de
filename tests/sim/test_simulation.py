"""The whole grid in virtual time: seeds that hold, runs that replay, planted faults that are found.

`make sim SEEDS=n` runs n seeds; a seed that fails replays with
`python -m tests.sim --seeds 1 --start SEED --trace FILE`.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from tests.sim.__main__ import HASH_SEED

SEEDS = 20  # of the normal test run


def run(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.sim", "--only", "grid", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.timeout(280)
def test_no_seed_breaks_a_guarantee(request: pytest.FixtureRequest) -> None:
    wanted = request.config.getoption("--seeds") or SEEDS
    done = run("--seeds", str(wanted))
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_seed_replays_exactly() -> None:
    prints = [run("--seeds", "1", "--start", "3", "--fingerprint").stdout for _ in range(2)]
    alone = [text.splitlines()[0] for text in prints]
    assert alone[0] == alone[1]
    after_others = run("--seeds", "2", "--start", "2", "--fingerprint").stdout
    assert alone[0] in after_others


# -- planted faults -------------------------------------------------------------------------------
@pytest.mark.timeout(280)
@pytest.mark.parametrize(
    ("fault", "likely"),  # the seed that is tried first: it found the fault when this was written
    [
        ("commits_before_its_copies", 0),
        ("ignores_its_lease", 16),
        ("forgets_locks", 51),
        ("decides_without_a_record", 49),
        ("trusts_lost_files", 7),
        ("ignores_what_is_pending", 2),
    ],
)
def test_a_planted_fault_is_found(fault: str, likely: int) -> None:
    command = [sys.executable, "-m", "tests.sim.planted", fault, str(likely)]
    environment = {**os.environ, "PYTHONHASHSEED": HASH_SEED}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    print(done.stdout, done.stderr)
    said = re.match(r"\w+: seed (\d+), without the fault (\d+) problems\n", done.stdout)
    assert said is not None
    assert said[2] == "0"  # so it was the fault
