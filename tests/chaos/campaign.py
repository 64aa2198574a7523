"""A long campaign: `python -m tests.chaos.campaign --seed 1`; writes a table of what held."""

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.chaos import plans, report
from tests.chaos.cases import Case, Result, Trouble
from tests.chaos.crowd import run_crowd
from tests.chaos.deadline import result_of
from tests.chaos.points import Crossing
from tests.chaos.servers import Servers
from tests.chaos.troubles import run

_MATRICES = [trouble for trouble in Trouble if trouble is not Trouble.NONE]
_CROWD = 20
"""Recoveries in a crowd, and deaths of its operator."""
_KINDS = (
    plans.PLAIN,
    plans.UNLINKING,
    plans.EVERY_QUEUE,
    plans.PENDING,
    plans.PENDING_ELSEWHERE,
    plans.RESTORING,
    *plans.UNPURGED,
    plans.WAITING,
    plans.STATEFUL,
    plans.ROLLOUT,
    plans.APPROVED,
    plans.TRANSIENT,
    plans.CAUSE_OVER,
)


def main() -> None:
    """Run a campaign; exits with 1 when anything was violated."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.campaign", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="of what is random")
    parser.add_argument("--cases", type=int, default=40, help="of each random kind")
    parser.add_argument("--troubles", default=",".join(_MATRICES), help="whose matrix is run, separated by commas")
    parser.add_argument("--effects", default="", help="only cases whose name holds this text")
    parser.add_argument("--at-once", type=int, default=4, help="cases that go on side by side")
    parser.add_argument("--report", type=Path, help="folder for the table and the evidence of violations")
    arguments = parser.parse_args()
    troubles = [Trouble(name) for name in arguments.troubles.split(",") if name]
    code = asyncio.Runner().run(_campaign(arguments, troubles))
    sys.stdout.flush()
    os._exit(code)  # the end of an event loop waits for all tasks, and a case that has not ended may never do so


async def _campaign(arguments: argparse.Namespace, troubles: Sequence[Trouble]) -> int:
    began = time.monotonic()
    async with Servers.open() as servers:
        undisturbed = {kind: await run(servers, kind) for kind in _KINDS}
        seen = {kind: plans.effects(result.traces[0]) for kind, result in undisturbed.items()}
        cases = [case for case in _cases(arguments, troubles, seen) if arguments.effects in str(case)]
        results = [*undisturbed.values(), *await _run_all(servers, cases, arguments)]
        crowd = await run_crowd(servers, plans.chance(arguments.seed), recoveries=_CROWD, deaths=_CROWD)
    effects = ", ".join(f"{kind.kind or 'plain'} {len(found)}" for kind, found in seen.items())
    text = "\n\n".join(
        [
            f"# Campaign of seed {arguments.seed}",
            f"Effects of undisturbed recoveries: {effects}. {report.summary(results, time.monotonic() - began)}",
            report.table(results, seen[plans.PLAIN]),
            report.findings(results),
            f"A crowd of {_CROWD} recoveries whose operator was killed {_CROWD} times: {'; '.join(crowd) or 'holds'}.",
        ]
    )
    sys.stdout.write(f"\n{text}\n")
    if arguments.report:
        _write(arguments.report, "report.md", text)
    return 1 if crowd or any(one.violations for one in results) else 0


def _cases(
    arguments: argparse.Namespace, troubles: Sequence[Trouble], seen: Mapping[Case, Sequence[Crossing]]
) -> Iterator[Case]:
    random = plans.chance(arguments.seed)
    plain = seen[plans.PLAIN]
    for trouble in troubles:
        kind = plans.kind_for(trouble)
        yield from plans.matrix(trouble, seen[kind], kind)
        yield from plans.unpurged(trouble, seen)
        if trouble in plans.OF_ONE_KIND:
            continue
        if trouble not in {Trouble.REMOVED, Trouble.REMOVED_LATE, Trouble.LIST_LOST}:
            yield from plans.matrix(trouble, plans.steps(seen[plans.RESTORING]), plans.RESTORING)
        yield from plans.matrix(trouble, plans.more(seen[plans.EVERY_QUEUE], plain), plans.EVERY_QUEUE)
        yield from plans.matrix(trouble, plans.sorting(seen[plans.PENDING]), plans.PENDING)
        yield from plans.matrix(trouble, plans.more(seen[plans.WAITING], plain), plans.WAITING)
        if trouble not in {Trouble.REPLACED, Trouble.ROLLED_BACK, Trouble.UNLABELLED}:  # of Deployments
            yield from plans.matrix(trouble, plans.stopping(seen[plans.STATEFUL]), plans.STATEFUL)
            yield from plans.matrix(trouble, plans.scaling(seen[plans.ROLLOUT]), plans.ROLLOUT)
        elsewhere = plans.more(seen[plans.PENDING_ELSEWHERE], seen[plans.EVERY_QUEUE])
        yield from plans.matrix(trouble, elsewhere, plans.PENDING_ELSEWHERE)
    if Trouble.DEATH in troubles:
        yield from plans.matrix(Trouble.DEATH, plans.more(seen[plans.UNLINKING], plain), plans.UNLINKING)
    yield from plans.twice(random, plain, arguments.cases)
    yield from plans.twice(random, plain, arguments.cases // 10, real_workers=True)
    yield from plans.told_and_killed(random, plain, arguments.cases)


async def _run_all(servers: Servers, cases: Sequence[Case], arguments: argparse.Namespace) -> list[Result]:
    at_once = asyncio.Semaphore(arguments.at_once)
    done = 0

    async def run_one(number: int, case: Case) -> Result:
        nonlocal done
        async with at_once:
            result = await result_of(case, run(servers, case))
        done += 1
        outcome = "; ".join(result.violations) or ("holds" if result.reached else "holds, point not reached")
        sys.stdout.write(f"{done}/{len(cases)} {case}: {result.phase}, {outcome} ({result.seconds:.1f} s)\n")
        sys.stdout.flush()
        if result.violations and arguments.report:
            _write(arguments.report, f"case-{number}.txt", report.evidence(result))
        return result

    return list(await asyncio.gather(*(run_one(number, case) for number, case in enumerate(cases))))


def _write(folder: Path, name: str, text: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)


if __name__ == "__main__":
    main()
