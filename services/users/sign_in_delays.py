"""Sign-in delays: an attacker who guesses a password from many addresses has to wait, the owner does not.

Failures count per e-mail address, whether an account has it or not. Beyond `FAILURES`, only the networks from which the
account has signed in, refreshed its tokens or reset its password may go on. The account keeps them as keyed hashes, and
loses them when it is erased:

    {..., signInNetworks: {"<hash of account and network>": "time of the last sign-in"}}

A reset also ends the wait: one guess every 15 minutes would keep the owner out at a new address.
"""

from collections.abc import Callable
from contextlib import suppress

from chassis import clock
from chassis.failure_limits import FailureLimit, TooManyFailures
from chassis.keyed_hash import keyed_hashes
from chassis.store import Doc, StoreUnavailable, Update
from services.users import addresses, domain, repository, sessions

FAILURES = FailureLimit("sign-in", max_failures=20, window_s=15 * 60.0, first_wait_s=15.0, max_wait_s=15 * 60.0)
MAX_NETWORKS = 10
KNOWN_FOR_S = 30 * 24 * 3600.0
_RENEW_AFTER_S = 24 * 3600.0  # one write a day and network, not one for each sign-in

SignIn = Callable[[], tuple[Doc, sessions.Session]]


def sign_in(email: str, network: str, attempt: SignIn) -> tuple[Doc, sessions.Session]:
    """Try to sign in to the account with this address from a network.

    Raises TooManyFailures, and what `attempt` raises.
    """
    key = addresses.email_key(email)
    account = repository.find_by_email(email)
    if not (account and _is_known(account, network)) and (wait_s := FAILURES.wait_s(key)):
        raise TooManyFailures(wait_s)
    try:
        account, session = attempt()
    except domain.WrongCredentials:
        FAILURES.count(key)
        raise
    _remember(account, network)
    return account, session


def renewed(account: Doc, network: str) -> None:
    """Remember the network from which tokens of the account were refreshed. Ignores StoreUnavailable."""
    with suppress(StoreUnavailable):
        _remember(account, network)


def reset(account: Doc, network: str) -> None:
    """Remember the network from which the owner set a new password, and end the delay. Ignores StoreUnavailable."""
    with suppress(StoreUnavailable):
        _remember(account, network)
        FAILURES.forget(addresses.email_key(account["email"]))


def _is_known(account: Doc, network: str) -> bool:
    known = account.get("signInNetworks", {})
    oldest = clock.timestamp_ago(KNOWN_FOR_S)
    return any(known.get(digest, "") > oldest for digest in _hashes(account, network))


def _remember(account: Doc, network: str) -> None:
    """Store that the account has signed in from this network; the ones that it used least recently are forgotten."""
    known: dict[str, str] = account.get("signInNetworks", {})
    current, *former = _hashes(account, network)
    if known.get(current, "") > clock.timestamp_ago(_RENEW_AFTER_S):
        return
    oldest = clock.timestamp_ago(KNOWN_FOR_S)
    others = [each for each in known if each not in (current, *former) and known[each] > oldest]
    kept = {current, *sorted(others, key=lambda each: known[each])[-(MAX_NETWORKS - 1) :]}
    update: Update = {"$set": {f"signInNetworks.{current}": clock.timestamp()}}
    if forgotten := {f"signInNetworks.{each}": True for each in known if each not in kept}:
        update = {**update, "$unset": forgotten}
    repository.accounts.update(account["_id"], update, when={"erased": False})


def _hashes(account: Doc, network: str) -> list[str]:
    return [digest.hex() for digest in keyed_hashes(f"{account['_id']} {network}".encode())]
