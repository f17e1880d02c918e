"""What fails now: orders, budgets, alerts, services, open sagas and circuit breakers, without scrolling."""

from alerts import FIRING, FIRING_FOR, PAGES
from looks import CIRCUIT, PER_S, STEPS, named, outcomes, steps
from objectives import AVAILABILITY, CHECKOUT, budget_left
from panels import Json, stat, states, table, timeseries
from queries import HOUR_AGO, largest, or_zero, quantile, rate, series

REQUESTS = "http_server_request_duration_seconds"
PAST = named({"an hour ago": "text", "placed an hour ago": "text", "confirmed an hour ago": "super-light-purple"})
ONE_SERVICE = (
    "/d/mercato-service/?${__url_time_range}&${datasource:queryparam}&${loki:queryparam}&${jaeger:queryparam}"
    "&${cluster:queryparam}&${namespace:queryparam}&var-service=${__value.raw}"
)


def orders(outcome: str, offset: str = "") -> str:
    """Return the orders per second with this outcome."""
    return or_zero(rate("mercato_orders_total", where=f'outcome="{outcome}"', offset=offset))


def failed_share() -> str:
    """Return the share of the requests of each service that it failed or shed."""
    shed = rate("mercato_http_server_requests_shed_total", "service")
    every = rate(f"{REQUESTS}_count", "service")
    failed = rate(f"{REQUESTS}_count", "service", 'http_response_status_code=~"5.."')
    return f"(({failed} or 0 * {every}) + {shed}) / ({every} + {shed} > 0)"


def cell(limit: float | None = None, **properties: object) -> Json:
    """Return the properties of a cell that is red from a limit on."""
    if limit is None:
        return properties
    colored = {"custom.cellOptions": {"type": "color-background", "mode": "basic"}, "thresholds": steps(limit, "text")}
    return {**properties, **colored}


SEVERITIES = {
    "type": "value",
    "options": {
        "page": {"text": "page", "color": "red", "index": 0},
        "ticket": {"text": "ticket", "color": "orange", "index": 1},
    },
}
RUNBOOKS = {"type": "value", "options": {name: {"text": page} for name, page in PAGES.items()}}

FIRST_SCREEN = [
    stat(
        "Orders placed",
        "now: " + orders("placed"),
        "an hour ago: " + orders("placed", HOUR_AGO),
        about="Orders placed per second, now and an hour ago.",
        unit=PER_S,
        decimals=2,
        overrides=PAST,
    ),
    stat(
        "Orders confirmed",
        "now: " + orders("confirmed"),
        "an hour ago: " + orders("confirmed", HOUR_AGO),
        about="Orders confirmed per second, now and an hour ago. Compare with the orders placed.",
        unit=PER_S,
        decimals=2,
        overrides=PAST,
    ),
    stat(
        "Availability budget left",
        budget_left(*AVAILABILITY, 0.001),
        about="Share of the error budget of 30 days that is left: 0.1 % of the public requests may fail.",
        unit="percentunit",
        least=0,
    ),
    stat(
        "Checkout budget left",
        budget_left(*CHECKOUT, 0.05),
        about="Share of the error budget of 30 days that is left: 5 % of the checkouts may be slow or undecided.",
        unit="percentunit",
        least=0,
    ),
    stat(
        "Waiting for an operator",
        f"Dead letters: sum({largest('mercato_dead_letters', 'service')})",
        f"Set aside: sum({largest('mercato_set_aside', 'service, source')})",
        about="Events and entries that failed several times and wait for an operator.",
        limit=1,
        graph="none",
    ),
    stat(
        "Processes down",
        f"sum(1 - {series('up')})",
        about="Processes whose metrics endpoint cannot be scraped.",
        limit=1,
    ),
    timeseries(
        "Orders now and an hour ago",
        "placed: " + orders("placed"),
        "confirmed: " + orders("confirmed"),
        "placed an hour ago: " + orders("placed", HOUR_AGO),
        "confirmed an hour ago: " + orders("confirmed", HOUR_AGO),
        about="Orders per second. Confirmed orders follow placed ones within a second.",
        unit=PER_S,
        service="orders",
        width=12,
        height=7,
        overrides=[*outcomes(), *PAST],
    ),
    table(
        "Firing alerts",
        {"For": FIRING_FOR},
        {
            "Severity": {
                "of": "severity",
                "mappings": [SEVERITIES],
                "custom.cellOptions": {"type": "color-background", "mode": "basic"},
                "custom.width": 90,
            },
            "Alert": {"of": "alertname"},
            "Service": {"of": "service"},
            "For": {"unit": "dtdurations", "decimals": 0, "custom.width": 110},
            "Runbook": {
                "of": "runbook",
                "mappings": [RUNBOOKS],
                "links": [{"title": "Open ${__value.text}", "url": "${runbooks}/${__value.text}", "targetBlank": True}],
            },
        },
        about="Alerts that fire now, how long their condition has held, and the page that says what to do.",
        empty="No alert fires",
        width=12,
        height=7,
    ),
    table(
        "Services",
        {
            "Requests": rate(f"{REQUESTS}_count", "service"),
            "Errors": failed_share(),
            "p95": f"{quantile(0.95, REQUESTS, 'service')} >= 0",  # not NaN, where there are no requests
            "Down": f"sum by (service) (1 - {series('up')})",
            "Alerts": f"count by (service) ({FIRING}) or 0 * group by (service) ({series('up')})",
        },
        {
            "Service": {"of": "service", "links": [{"title": "Open ${__value.raw}", "url": ONE_SERVICE}]},
            "Requests": cell(unit="reqps", decimals=2),
            "Errors": cell(0.001, unit="percentunit", decimals=2),
            "p95": cell(1, unit="s"),
            "Down": cell(1, decimals=0),
            "Alerts": cell(1, decimals=0),
        },
        about="All requests of each service, internal ones too: rate, share failed or shed, duration; processes that "
        "cannot be scraped; firing alerts. A name opens the dashboard of the service.",
        width=12,
        height=11,
    ),
    [
        timeseries(
            "Open sagas by step",
            "{{step}}: " + largest("mercato_saga_open", "step"),
            about="Open sagas at each step. Many at one step wait for the service that carries it out.",
            service="orders",
            width=12,
            height=5,
            overrides=named(STEPS),
        ),
        states(
            "Circuit breakers",
            "{{server_address}}: " + largest("mercato_circuit_breaker_state", "server_address"),
            CIRCUIT,
            about="The worst circuit breaker of the callers of each service: open means that one sends it nothing.",
            width=12,
            height=6,
        ),
    ],
]
