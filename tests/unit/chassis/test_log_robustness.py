"""The log stops no work: whatever a line holds, it is written, or counted as lost."""

import json

import pytest

from chassis.observe import metrics
from chassis.observe.log import log
from chassis.testing import capture_logs


class NoText:
    def __str__(self):
        raise ValueError("no text")


def lost():
    return metrics.lost_log_lines._value.get()


@pytest.mark.parametrize("value", ["\ud800", 2**70, {1: "a"}, b"\xff", ValueError("\ud800"), "a\0b", float("nan")])
def test_line_with_an_odd_value_is_written(value):
    before = lost()
    with capture_logs() as lines:
        log.error("odd", error=value, jobs=[value])
    (line,) = lines
    assert (line["message"], line["time"].endswith("Z"), lost()) == ("odd", True, before)


def test_line_with_a_value_without_text_is_counted_as_lost_and_the_next_is_written():
    before = lost()
    with capture_logs() as lines:
        log.error("lost", reason=NoText())
        log.error("written")
    assert ([line["message"] for line in lines], lost()) == (["written"], before + 1)


def test_line_that_cannot_be_exported_is_written(monkeypatch):
    def export(*_):
        raise ValueError("the exporter is broken")

    monkeypatch.setattr(log, "export", export)
    with capture_logs() as lines:
        log.error("written")
    assert json.dumps(lines).count("written") == 1
