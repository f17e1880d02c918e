"""Money: an integer of minor units and an ISO 4217 code, never a float."""

import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import ClassVar

# ISO 4217 list one, the codes in use; _DIGITS has those without two decimal places.
CURRENCIES = frozenset(
    "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CLP "
    "CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HTG HUF "
    "IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD "
    "MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB "
    "RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD "
    "UYU UZS VES VND VUV WST XAF XCD XOF XPF YER ZAR ZMW ZWG".split()
)
_DIGITS = dict.fromkeys("BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF".split(), 0) | dict.fromkeys(
    "BHD IQD JOD KWD LYD OMR TND".split(), 3
)
_NUMBER = re.compile(r"[0-9]{1,15}(\.[0-9]{1,6})?")


@dataclass(frozen=True)
class Money:
    """An amount in minor units: Money(69999, "EUR") is 699.99 euros.

    Raises ValueError, as do `+` and `*`: the amount is negative or above MAX_MINOR.
    """

    MAX_MINOR: ClassVar[int] = 10**15 - 1
    """The largest amount, line and total in minor units: every JSON client reads it exactly."""

    minor: int
    currency: str

    def __post_init__(self) -> None:
        if not 0 <= self.minor <= self.MAX_MINOR:
            largest = decimal_string(self.MAX_MINOR, self.currency)
            raise ValueError(f"an amount is from 0 to {largest} {self.currency}")

    @classmethod
    def parse(cls, value: Decimal | int | str, currency: str) -> "Money":
        """Read a decimal exactly. Raises ValueError: unknown currency, too many digits, negative, or too large."""
        if currency not in CURRENCIES:
            raise ValueError(f"{currency} is not an ISO 4217 currency")
        if isinstance(value, bool) or not isinstance(value, Decimal | int | str):
            raise ValueError("an amount is a decimal number, such as 699.99")
        if isinstance(value, str) and not _NUMBER.fullmatch(value):
            raise ValueError("an amount is a decimal number, such as 699.99")
        try:
            number = Decimal(value)
        except InvalidOperation as error:
            raise ValueError("an amount is a decimal number, such as 699.99") from error
        if not number.is_finite() or number < 0:
            raise ValueError("an amount is not negative")
        if number > cls.MAX_MINOR:  # before `scaleb`, whose exponent is limited
            raise ValueError("the amount is too large")
        minor = number.scaleb(digits(currency))
        if minor != minor.to_integral_value():
            raise ValueError(f"{currency} has {digits(currency)} decimal places")
        return cls(int(minor), currency)

    def __str__(self) -> str:
        """Return the decimal of the wire format: "699.99"."""
        return decimal_string(self.minor, self.currency)

    def __add__(self, other: "Money") -> "Money":
        if other.currency != self.currency:
            raise ValueError(f"{self.currency} and {other.currency} cannot be added")
        return Money(self.minor + other.minor, self.currency)

    def __mul__(self, quantity: int) -> "Money":
        return Money(self.minor * quantity, self.currency)


def decimal_string(minor: int, currency: str) -> str:
    """Return the decimal of an amount in minor units, even of a stored one above `Money.MAX_MINOR`."""
    places = digits(currency)
    if places == 0:
        return str(minor)
    return f"{minor // 10**places}.{minor % 10**places:0{places}d}"


def digits(currency: str) -> int:
    """Return the number of decimal places of the currency."""
    return _DIGITS.get(currency, 2)
