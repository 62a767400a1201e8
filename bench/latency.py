"""Response times at a constant rate: the redirector's and Nginx's, at the same rates."""

import asyncio
from collections.abc import Sequence

import msgspec

from bench import contenders, goals, open_loop, report, wrk
from bench.bus import wait_until_stored
from bench.contenders import Contender
from bench.installation import Installation
from bench.links import WARM
from bench.medians import figure, quantile, ratios
from bench.open_loop import Latencies
from bench.rounds import Say
from bench.settings import Settings

SHARES = (0.25, 0.5, 0.75)  # of the redirector's peak
JUDGED_SHARE = 0.5
QUANTILES = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999}
GOAL = 2.0
WARM_UP_RATE, WARM_UP_SECONDS = 5_000.0, 1.0  # what comes first of all is another figure
NAMES = ("nginx", "redirector")


class Response(msgspec.Struct, frozen=True, kw_only=True):
    """One contender's turn at one rate; times in milliseconds."""

    contender: str
    share: float
    rate: float
    refused: int
    milliseconds: dict[str, float]


def measure(installation: Installation, settings: Settings, say: Say) -> None:
    """Measure, print and write response times."""
    both = contenders.start(installation, NAMES)
    peak = _peak(installation, both[1], settings)
    say(f"the redirector's peak is {peak:,.0f}/s")
    responses = []
    for contender in both:
        _answers(installation, contender, WARM_UP_RATE, WARM_UP_SECONDS)
    for number in range(1, settings.rounds + 1):
        for share in SHARES:
            for contender in both:
                responses.append(_turn(installation, contender, share, peak, settings.seconds))
                asyncio.run(wait_until_stored(installation.stack.bus.url))
                say(f"latency {number} of {settings.rounds}: {contender.name} at {share:.0%}")
    _show(responses)
    judged = [_p99(responses, name, JUDGED_SHARE) for name in reversed(NAMES)]
    what = "redirector's p99 at half of its peak ÷ Nginx's at the same rate"
    verdict = goals.at_most(what, ratios(*judged), GOAL)
    report.show_verdicts([verdict])
    results = {"peak": peak, "responses": responses, "goals": [verdict]}
    report.write(settings.results, {"latency": msgspec.to_builtins(results)})


def _peak(installation: Installation, redirector: Contender, settings: Settings) -> float:
    with installation.paused_ingest():
        load = wrk.run(
            redirector.url,
            redirector.traffic,
            seconds=settings.seconds,
            connections=settings.connections,
        )
    asyncio.run(wait_until_stored(installation.stack.bus.url))
    return load.rate


def _turn(
    installation: Installation, contender: Contender, share: float, peak: float, seconds: float
) -> Response:
    rate = peak * share
    answers = _answers(installation, contender, rate, seconds)
    times = {
        name: quantile(answers.seconds, level) * 1000 if answers.seconds else 0.0
        for name, level in QUANTILES.items()
    }
    return Response(
        contender=contender.name,
        share=share,
        rate=rate,
        refused=answers.refused,
        milliseconds=times,
    )


def _answers(
    installation: Installation, contender: Contender, rate: float, seconds: float
) -> Latencies:
    port = int(contender.url.rpartition(":")[2])
    with installation.paused_ingest():
        return open_loop.send(port, f"/{WARM}", rate=rate, seconds=seconds)


def _p99(responses: Sequence[Response], name: str, share: float) -> list[float]:
    return [
        each.milliseconds["p99"]
        for each in responses
        if each.contender == name and each.share == share
    ]


def _show(responses: Sequence[Response]) -> None:
    rows = []
    for share in SHARES:
        for name in NAMES:
            own = [each for each in responses if (each.contender, each.share) == (name, share)]
            times = [
                report.text(figure([each.milliseconds[level] for each in own]))
                for level in QUANTILES
            ]
            refused = f"{sum(each.refused for each in own):,}"
            rows.append([f"{name} at {own[0].rate:,.0f}/s ({share:.0%})", *times, refused])
    report.show("Milliseconds from due to answered", ["", *QUANTILES, "refused"], rows)
