"""E-mail addresses: all spellings of one are one account, and different domains never are."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis import clock
from chassis.errors import InvalidInput
from services.users import addresses, application, repository
from services.users.domain import EmailTaken, WrongCredentials

SPELLINGS = [
    ["ada@bücher.example", "ada@xn--bcher-kva.example", "ada@XN--BCHER-KVA.example", "ADA@BÜCHER.example"],
    ["ada@bücher.example", unicodedata.normalize("NFD", "ada@bücher.example"), "ada@bücher。example"],
    ["ada@日本語.example", "ada@xn--wgv71a119e.example", "ada@日本語｡example"],
    ["ada@shop.example", "ada@shop。example", "ada@shop｡example", "ada@shop．example", "ADA@Shop.Example"],
    ["ada@shop.example", "ada@ｓｈｏｐ.example", "ada@ⓢhop.example"],
    ["ada@faß.example", "ada@xn--fa-hia.example", "ada@XN--FA-HIA.EXAMPLE", "ada@FAẞ.example"],
    ["ada@βόλος.example", "ada@xn--nxasmm1c.example"],
    ["zoë@shop.example", "zoe\u0308@shop.example", "ZOË@SHOP.example"],
    ["ada@shop.рф", "ada@shop.xn--p1ai", "ada@shop.РФ"],
]
DIFFERENT = [
    ("ada@faß.example", "ada@fass.example"),
    ("ada@βόλος.example", "ada@βόλοσ.example"),
    ("ada@shop.example", "ada@shop.example.org"),
    ("ada@bücher.example", "ada@bucher.example"),
]
pytestmark = pytest.mark.usefixtures("stored_accounts")

PASSWORD = "correct horse battery"


def sign_up(email):
    return application.create(clock.new_id(), email, "Ada Byron", PASSWORD)["_id"]


def sign_in(email):
    return application.sign_in(email, PASSWORD, "", lambda: None)[0]["_id"]


def key_of_release_0_2_0(email):
    return unicodedata.normalize("NFC", unicodedata.normalize("NFKC", email).casefold())


def make_old(id):
    """Give an account the key that release 0.2.0 stored."""
    email = repository.get(id)["email"]
    repository.accounts.update(id, {"$set": {"emailKey": key_of_release_0_2_0(email)}, "$unset": {"verified": True}})


@pytest.mark.parametrize("spellings", SPELLINGS)
def test_who_signs_up_with_a_spelling_signs_in_with_every_other(spellings):
    for spelling in spellings:
        id = sign_up(spelling)
        assert {sign_in(other) for other in spellings} == {id}
        for other in spellings:
            with pytest.raises(EmailTaken):
                sign_up(other)
        application.erase(id, id, PASSWORD, None, lambda user: None)


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_different_domains_are_different_accounts(one, other):
    first = sign_up(one)
    with pytest.raises(WrongCredentials):
        sign_in(other)
    assert sign_up(other) != first
    assert sign_in(one) == first


def test_an_account_of_release_0_2_0_keeps_its_address_and_frees_the_one_it_blocked():
    old = sign_up("ada@faß.example")
    make_old(old)
    assert sign_in("ada@xn--fa-hia.example") == old
    with pytest.raises(WrongCredentials):
        sign_in("ada@fass.example")
    with pytest.raises(EmailTaken):
        sign_up("ada@faß.example")
    make_old(old)
    other = sign_up("ada@fass.example")
    assert (sign_in("ada@faß.example"), sign_in("ada@fass.example")) == (old, other)
    with pytest.raises(EmailTaken):
        sign_up("ada@FAß.example")


def test_a_change_of_address_respects_the_keys_of_release_0_2_0():
    old, other = sign_up("ada@faß.example"), sign_up("bob@shop.example")
    make_old(old)
    with pytest.raises(EmailTaken):
        application.change(other, other, {"email": "ada@xn--fa-hia.example"}, PASSWORD, None, "1")
    application.change(other, other, {"email": "ada@fass.example"}, PASSWORD, None, "2")
    assert (sign_in("ada@faß.example"), sign_in("ada@fass.example")) == (old, other)


@pytest.mark.parametrize("text", ["", "ada", "erased:u1", "ada@", "@", "a@b@c.example", "ada@shop.example\n"])
def test_text_that_is_no_address_finds_no_account(text):
    id = sign_up("ada@shop.example")
    application.erase(id, id, PASSWORD, None, lambda user: None)
    repository.accounts.update(id, {"$set": {"emailKey": "erased:u1"}})
    assert repository.find_by_email(text) is None


_labels = st.text(st.characters(categories=["L"], include_characters="09-"), min_size=1, max_size=8)
_locals = st.text(st.characters(categories=["L"], include_characters="09+."), min_size=1, max_size=8)


@given(_locals, _labels)
def test_every_form_of_an_accepted_address_has_one_key(local, label):
    email = f"{local}@{label}.example"
    try:
        normalized = addresses.normalize_email(email)
    except InvalidInput:
        return
    key = addresses.email_key(email)
    assert addresses.email_key(normalized) == key
    assert addresses.normalize_email(normalized) == normalized
    assert addresses.email_key(unicodedata.normalize("NFD", email)) == key
    assert key_of_release_0_2_0(normalized) in addresses.possible_keys(email)
