"""What a client learns of an error that nobody expected: that there was one."""

import orjson

from chassis.web import problems


def test_the_words_of_a_defect_are_told_to_nobody():
    answer = problems.to_response(RuntimeError("no such table: accounts"), "/api/users", {})
    told = orjson.loads(answer.get_data())
    assert (answer.status_code, told["title"]) == (500, "Internal error")
    assert "table" not in str(told)
