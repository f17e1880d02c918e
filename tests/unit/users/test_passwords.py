"""The password policy: neither common, nor the address of the account."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.errors import InvalidInput
from services.users import passwords

ADDRESS = "ada.lovelace@bücher.example"


@pytest.mark.parametrize(
    "password",
    [
        "12345678",
        "password1",
        "PassWord1",
        "iloveyou1",
        "ｐａｓｓｗｏｒｄ",
        " password1 ",
        "administrator",
        "qwertyuiop",
    ],
)
def test_a_common_password_is_refused_in_every_form(password):
    with pytest.raises(InvalidInput) as refused:
        passwords.require_acceptable(password, ADDRESS)
    assert refused.value.extra["errors"][0]["field"] == "password"
    assert password.strip() not in str(refused.value.extra)


@pytest.mark.parametrize(
    "password",
    [
        ADDRESS,
        ADDRESS.upper(),
        "ada.lovelace@xn--bcher-kva.example",
        "ada.lovelace",
        "Lovelace",
        "bücher.example",
        f"{ADDRESS}1",
    ],
)
def test_the_address_of_the_account_is_refused(password):
    with pytest.raises(InvalidInput):
        passwords.require_acceptable(password, ADDRESS)
    passwords.require_acceptable(password, "bob@shop.example")


@pytest.mark.parametrize("password", ["7 chars", "x" * 129])
def test_a_password_of_another_length_is_refused(password):
    with pytest.raises(InvalidInput):
        passwords.require_acceptable(password, ADDRESS)


def test_the_list_holds_the_ten_thousand_most_common():
    common = passwords._common_passwords()
    assert len(common) > 10_000
    assert not any(line.startswith("# ") for line in common)


@given(st.text(min_size=20, max_size=128))
def test_a_long_password_of_any_characters_is_accepted(password):
    passwords.require_acceptable(password, "bob@shop.example")
