"""What a campaign found, as Markdown."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from tests.chaos.cases import Result, Trouble
from tests.chaos.points import Crossing

SEVERAL = "(two at random)"


def table(results: Sequence[Result], seen: Sequence[Crossing]) -> str:
    """Return effect by trouble: how many cases held, of how many that came to their point."""
    columns = [trouble for trouble in Trouble if any(one.case.trouble is trouble for one in results)]
    cells: defaultdict[tuple[str, Trouble], list[Result]] = defaultdict(list)
    for result in results:
        cells[_row(result), result.case.trouble].append(result)
    done = dict.fromkeys(map(_row, results))
    names = [name for name in dict.fromkeys([*map(_name, seen), *done]) if name in done]
    rows = [[name, *(_cell(cells.get((name, trouble), [])) for trouble in columns)] for name in names]
    head = ["effect", *(trouble.value for trouble in columns)]
    return "\n".join(_line(row) for row in [head, ["---"] * len(head), *rows])


def summary(results: Sequence[Result], seconds: float) -> str:
    """Return the numbers."""
    reached = sum(one.reached for one in results)
    bad = sum(bool(one.violations) for one in results)
    conforming = sum(not one.nonconforming for one in results)
    return (
        f"{len(results)} cases in {seconds:.0f} s; {reached} came to their points; something was violated in {bad}. "
        f"What the operators did is a way through the model in {conforming} of {len(results)}."
    )


def findings(results: Iterable[Result]) -> str:
    """Return each violated case with what was violated."""
    parts = []
    for result in results:
        if result.violations:
            lines = [f"### {result.case} ({result.phase}, {result.seconds:.1f} s)", ""]
            parts.append("\n".join([*lines, *(f"- {violation}" for violation in result.violations)]))
    return "\n\n".join(parts)


def evidence(result: Result) -> str:
    """Return all that is known of one case."""
    traces = [
        "\n".join(f"{one.moment:7}{one.total:4} {one.name} #{one.number}" for one in trace) for trace in result.traces
    ]
    wrong = "\n".join(result.violations)
    return "\n\n".join([str(result.case), wrong, *traces, result.evidence])


def _row(result: Result) -> str:
    points = result.case.points
    if not points or len(points) > 1 or points[0].name is None:
        return SEVERAL if points else "(none)"
    kind = f"{result.case.kind}: " if result.case.kind else ""
    return f"{kind}{points[0].name} #{points[0].number}"


def _name(effect: Crossing) -> str:
    return f"{effect.name} #{effect.number}"


def _cell(results: Sequence[Result]) -> str:
    reached = [one for one in results if one.reached]
    good = sum(not one.violations for one in reached)
    missed = len(results) - len(reached)
    if not results:
        return ""
    text = f"{good}/{len(reached)}" if good == len(reached) else f"**{good}/{len(reached)}**"
    if any(one.violations for one in results if not one.reached):
        return f"{text} **(+{missed} missed, bad)**"
    return f"{text} (+{missed} missed)" if missed else text


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
