"""Redirects per second: this redirector, the limit, and what else there is."""

import asyncio
from collections.abc import Mapping, Sequence

import msgspec

from bench import contenders, goals, report, rounds
from bench.contenders import Contender
from bench.installation import Installation
from bench.medians import figure, ratios
from bench.rounds import Say, Turn
from bench.settings import Settings


def measure(installation: Installation, settings: Settings, say: Say) -> None:
    """Measure, print and write the rates of all contenders."""
    measured = contenders.start(installation, settings.only.split(",") if settings.only else [])
    turns = asyncio.run(rounds.all_rounds(installation, measured, settings, say))
    _show(measured, turns)
    rates = {name: [turn.rate for turn in each] for name, each in turns.items()}
    verdicts = goals.judge_rates(goals.RATES, rates)
    report.show_verdicts(verdicts)
    results = {
        "settings": {"seconds": settings.seconds, "connections": settings.connections},
        "turns": turns,
        "goals": verdicts,
    }
    report.write(settings.results, {"redirects": msgspec.to_builtins(results)})


def _show(measured: Sequence[Contender], turns: Mapping[str, Sequence[Turn]]) -> None:
    first = [turn.rate for turn in turns[measured[0].name]]
    rows = []
    for contender in measured:
        own = turns[contender.name]
        rates = [turn.rate for turn in own]
        rows.append(
            [
                contender.what,
                report.text(figure(rates)),
                f"{ratios(rates, first).median:.3f}",
                _recorded(own),
                f"{sum(turn.refused for turn in own):,}",
            ]
        )
    columns = [
        "",
        "redirects/s (lowest to highest)",
        f"÷ {measured[0].name}",
        "clicks ÷ answers",
        "refused",
    ]
    report.show("Redirects", columns, rows)


def _recorded(turns: Sequence[Turn]) -> str:
    """Return the share that is farthest from one click for each answer."""
    shares = [turn.recorded for turn in turns if turn.recorded is not None]
    return f"{max(shares, key=lambda share: abs(share - 1)):.3f}" if shares else ""
