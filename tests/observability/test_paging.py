"""Alertmanager's configuration: one cause is one page, and what does not follow from it is not muted."""

from collections.abc import Iterable

import pytest

from mercato.catalog import catalog
from tests.observability.files import alerts
from tests.observability.paging import CONFIGURATION, Labels, Pager, named

CHECKOUT = {"orders", *catalog()["orders"].calls}
SEVERITY = {alert["alert"]: alert["labels"]["severity"] for alert in alerts()}


def firing(alertname: str, service: str = "orders", **labels: str) -> Labels:
    severity = labels.pop("severity", "page" if SEVERITY[alertname] != "none" else "none")
    return {"alertname": alertname, "severity": severity, "namespace": "mercato", "service": service, **labels}


def pages(*steps: tuple[float, list[Labels]], until: float = 600) -> list[tuple[tuple[str, str], ...]]:
    """Return the groups that the pager gets, when alerts begin to fire at these times and do not end."""
    pager, present = Pager(), []
    for at, more in [*steps, (until, [])]:
        present = [*present, *more]
        pager.see(at, present)
    return [each.alerts for each in pager.pages()]


def test_configuration_names_existing_alerts():
    matchers = [
        each
        for rule in CONFIGURATION["inhibit_rules"]
        for side in ("source_matchers", "target_matchers")
        for each in rule[side]
    ]
    matchers += [each for route in CONFIGURATION["route"]["routes"] for each in route["matchers"]]
    assert set(named(matchers, "alertname")) <= SEVERITY.keys()


def test_causes_are_those_of_all_services_that_a_checkout_needs():
    listed = [set(named(rule["source_matchers"], "service")) for rule in CONFIGURATION["inhibit_rules"]]
    assert CHECKOUT in listed
    assert CHECKOUT - {"orders"} in listed


@pytest.mark.parametrize("cause", ["TargetDown", "StoreDown", "ServiceMissing"])
@pytest.mark.parametrize("service", sorted(CHECKOUT))
def test_symptoms_of_a_cause_raise_no_second_page(cause, service):
    breaker = firing("BreakerOpen", server_address=service)
    symptoms = [breaker, firing("OrdersUndecided"), firing("CheckoutBudgetBurn"), firing("AvailabilityBudgetBurn")]
    late = [firing("SagaOld", saga="checkout"), firing("CompensationStuck", saga="checkout")]
    own = [firing(name, service) for name in ("CallsBudgetBurn", "OutboxStalled", "AvailabilityBudgetBurn")]
    for first in ([], own):  # each is muted by the cause itself
        assert pages((0, [firing(cause, service)]), (60, first), (150, symptoms), (330, late)) == [((cause, service),)]


@pytest.mark.parametrize("symptom", ["OrdersUndecided", "CheckoutBudgetBurn", "BreakerOpen"])
def test_symptom_without_its_cause_pages(symptom):
    assert pages((0, [firing(symptom)])) == [((symptom, "orders"),)]


@pytest.mark.parametrize("symptom", ["OrdersUndecided", "CheckoutBudgetBurn", "BreakerOpen"])
def test_cause_in_a_service_without_checkout_mutes_no_symptom(symptom):
    mail = firing("TargetDown", "notifications")
    assert pages((0, [mail]), (60, [firing(symptom)])) == [(("TargetDown", "notifications"),), ((symptom, "orders"),)]


def test_cause_in_another_namespace_mutes_nothing():
    other = firing("TargetDown", "payments", namespace="other")
    assert len(pages((0, [other]), (60, [firing("OrdersUndecided")]))) == 2


@pytest.mark.parametrize("alert", ["SagaBlocked", "SignInFailures"])
def test_what_does_not_follow_from_a_cause_is_not_muted(alert):
    down = firing("TargetDown", "payments")
    assert pages((0, [down]), (60, [firing(alert)])) == [(("TargetDown", "payments"),), ((alert, "orders"),)]


def test_second_service_that_is_down_pages_as_well():
    down = [firing("TargetDown", "payments")], [firing("TargetDown", "users")]
    assert len(pages((0, down[0]), (120, down[1]))) == 2


def test_database_of_all_services_is_one_page():
    stores = [firing("StoreDown", name) for name in sorted(catalog())]
    (page,) = pages((0, stores[:1]), (10, stores[1:]))
    assert {service for _, service in page} == set(catalog())


def test_bus_that_is_down_mutes_outboxes():
    down = firing("BusUnavailable", "")
    stalled = [firing("OutboxStalled", name, collection=name) for name in ("orders", "users")]
    assert pages((0, [down]), (60, stalled)) == [(("BusUnavailable", ""),)]


def test_pod_that_hangs_and_is_deleted_is_one_page():
    hangs = firing("TargetDown", "payments")
    assert pages((0, [hangs]), (300, [firing("ServiceMissing", "payments")])) == [(("TargetDown", "payments"),)]


def test_ticket_beside_its_page_is_not_sent_and_no_ticket_pages():
    pager = Pager()
    pager.see(
        0,
        [
            firing("BreakerOpen"),
            firing("BreakerOpen", severity="ticket"),
            firing("DeadLetters", "payments", severity="ticket"),
        ],
    )
    pager.see(60, [])
    assert [(each.receiver, each.alerts) for each in pager.sent] == [
        ("pager", (("BreakerOpen", "orders"),)),
        ("tickets", (("DeadLetters", "payments"),)),
    ]


def test_watchdog_goes_to_its_receiver_each_minute():
    pager, watchdog = Pager(), [firing("Watchdog", "")]
    for at in range(0, 181, 15):
        pager.see(at, watchdog)
    assert [each.receiver for each in pager.sent] == ["watchdog"] * 4
    assert not pager.pages()


def causes(rules: Iterable[dict[str, object]]) -> set[str]:
    return {str(rule["alert"]) for rule in rules if rule.get("keep_firing_for") == "6m"}


def test_causes_fire_until_their_last_consequence_is_gone():
    """The burn rate of checkouts has a window of five minutes: it would page after the recovery."""
    assert causes(alerts()) >= {"TargetDown", "StoreDown", "ServiceMissing", "BusUnavailable"}
