"""What every route answers with."""

import pytest

from chassis.web.response import WsgiResponse


@pytest.mark.parametrize(("status", "body", "lengths"), [(200, b"four", ["4"]), (200, None, ["0"]), (204, None, [])])
def test_an_answer_says_its_length_once(status, body, lengths):
    said = []
    sent = WsgiResponse(body, status)({"REQUEST_METHOD": "GET"}, lambda _, headers: said.extend(headers))
    assert b"".join(sent) == (body or b"")
    assert [value for name, value in said if name.lower() == "content-length"] == lengths
