"""Masks what identifies a person: e-mail, phone, identity number, IP address, bank card."""

import re
from collections.abc import Callable
from ipaddress import AddressValueError, IPv6Address
from typing import Annotated, ClassVar, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from loraflow.data.operators.base import STRICT
from loraflow.data.records import Record, edit_texts

Kind = Literal["email", "phone", "id_number", "ip", "card"]


@dataclass(frozen=True, config=STRICT)
class Pii:
    """Put "[EMAIL]", "[PHONE]", "[ID]", "[IP]" and "[CARD]" where a person could be found.

    Numbers are taken by their form and check digits, in prose and in code. Names and addresses of
    streets are not found: that takes a model.
    """

    version: ClassVar[int] = 1
    kinds: Annotated[list[Kind], Field(min_length=1)]

    def __call__(self, record: Record) -> Record:
        """Edit every text."""
        return edit_texts(record, self._mask)

    def _mask(self, text: str) -> str:
        if not _WORTH_A_LOOK.search(text):
            return text
        for kind, mask in _MASKS.items():
            if kind in self.kinds:
                text = mask(text)
        return text


# Neither \b nor \w, which take Chinese for part of the number: 电话13812345678吗. A number that is
# part of a longer one, of a name (a13812345678) or of a fraction (0.4111...) is left alone.
_START, _END = r"(?<![0-9A-Za-z_])(?<![0-9]\.)", r"(?![0-9A-Za-z_]|\.[0-9])"

_WORTH_A_LOOK = re.compile(r"@|[0-9][0-9 .()\-]{5,25}[0-9]|[0-9A-Fa-f]:[0-9A-Fa-f]{0,4}:")

_EMAIL = re.compile(
    r"(?<![A-Za-z0-9._%+-])(?!git@)[A-Za-z0-9._%+-]{1,64}@"
    r"(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}(?![A-Za-z0-9_(@-])"
)

_ID_NUMBER = re.compile(
    rf"{_START}[1-9][0-9]{{5}}(?:18|19|20)[0-9]{{2}}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])"
    rf"[0-9]{{3}}[0-9Xx]{_END}"
)
_ID_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_ID_CHECKS = "10X98765432"  # GB 11643-1999: the last character, by the weighted sum modulo 11

_CARD = re.compile(
    rf"{_START}(?:[0-9]{{13,19}}"
    r"|[0-9]{4}([ -])[0-9]{4}\1[0-9]{4}\1[0-9]{4}(?:\1[0-9]{3})?"
    rf"|3[0-9]{{3}}([ -])[0-9]{{6}}\2[0-9]{{4,5}}){_END}"
)
_CARD_ISSUERS = re.compile(  # first digits and length: a Luhn digit alone is right one time in ten
    r"4(?:[0-9]{12}|[0-9]{15}|[0-9]{18})"  # Visa
    r"|5[1-5][0-9]{14}|2(?:22[1-9]|2[3-9][0-9]|[3-6][0-9]{2}|7[01][0-9]|720)[0-9]{12}"  # Mastercard
    r"|3[47][0-9]{13}|3(?:0[0-5]|[689][0-9])[0-9]{11}"  # American Express, Diners Club
    r"|62[0-9]{14,17}|(?:6011|64[4-9][0-9]|65[0-9]{2}|35[2-8][0-9]|220[0-4])[0-9]{12,15}"  # others
)

_OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_IPV4 = re.compile(
    rf"(?<![0-9A-Za-z_.])(?<![A-Za-z]/){_OCTET}(?:\.{_OCTET}){{3}}(?![0-9A-Za-z_]|\.[0-9])"
)
_VERSION = re.compile(r"(?:version|版本|版|section|第)号?[ :：]{0,2}\Z", re.IGNORECASE)
_NOBODY = ("127.", "0.0.0.0", "255.")  # this machine, any machine, a netmask
_IPV6 = re.compile(
    r"(?<![0-9A-Za-z_:.])(?:[23][0-9A-F]{3}|F[CDE](?:[0-9][0-9A-F]|[A-F][0-9]))"  # std::abs is none
    r":[0-9A-F:]{1,32}(?:[0-9A-F]|::)(?![0-9A-Za-z_])",
    re.IGNORECASE,
)

_PHONE = re.compile(
    rf"{_START}(?:"
    r"(?:(?:\+|00)?86[ -]?|\(\+86\) ?)?(?![0-9]{5}0{6})1[3-9][0-9](?:[ -]?[0-9]{4}){2}"  # China
    r"|0[1-9][0-9]{1,2}-[0-9]{7,8}|[(（]0[1-9][0-9]{1,2}[)）] ?[0-9]{7,8}"  # China, fixed line
    r"|(?:1[-. ])?(?:\([2-9][0-9]{2}\) ?|[2-9][0-9]{2}[-.])[2-9][0-9]{2}[-.][0-9]{4}"  # America
    r"|(?P<abroad>\+[1-9](?:[ .-]?[0-9]|[ .-]?\([0-9]{1,4}\)){6,14})"
    rf"){_END}"
)
_DIGITS_IN_AMERICA = 11
_DIGITS_ABROAD = range(8, 16)  # E.164 allows 15


def _mask_emails(text: str) -> str:
    return _EMAIL.sub("[EMAIL]", text) if "@" in text else text


def _mask_id_numbers(text: str) -> str:
    return _ID_NUMBER.sub(lambda found: "[ID]" if _is_id_number(found[0]) else found[0], text)


def _is_id_number(number: str) -> bool:
    total = sum(weight * int(digit) for weight, digit in zip(_ID_WEIGHTS, number, strict=False))
    return _ID_CHECKS[total % len(_ID_CHECKS)] == number[-1].upper()


def _mask_cards(text: str) -> str:
    return _CARD.sub(lambda found: "[CARD]" if _is_card(found[0]) else found[0], text)


def _is_card(number: str) -> bool:
    digits = number.replace(" ", "").replace("-", "")
    if not _CARD_ISSUERS.fullmatch(digits):
        return False
    doubled = [sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2]]
    return (sum(doubled) + sum(map(int, digits[::-2]))) % 10 == 0  # Luhn


def _mask_addresses(text: str) -> str:
    text = _IPV4.sub(lambda found: "[IP]" if _is_ipv4(found) else found[0], text)
    return _IPV6.sub(lambda found: "[IP]" if _is_ipv6(found[0]) else found[0], text)


def _is_ipv4(found: re.Match[str]) -> bool:
    before = found.string[max(0, found.start() - 10) : found.start()]
    return not found[0].startswith(_NOBODY) and not _VERSION.search(before)


def _is_ipv6(text: str) -> bool:
    try:
        IPv6Address(text)
    except AddressValueError:
        return False
    return True


def _mask_phones(text: str) -> str:
    return _PHONE.sub(lambda found: "[PHONE]" if _is_phone(found) else found[0], text)


def _is_phone(found: re.Match[str]) -> bool:
    """Tell a number with a country code from a sum: +33 6 12 34 56 78, but not +5 10 15 20 25."""
    if found["abroad"] is None:
        return True
    country, *groups = re.findall("[0-9]+", found[0])
    digits = sum(map(len, groups), len(country))
    if country == "1":
        return digits == _DIGITS_IN_AMERICA
    return digits in _DIGITS_ABROAD and (len(country) > 1 or country == "7")


_MASKS: dict[Kind, Callable[[str], str]] = {  # in this order: an ID number could pass for a card
    "email": _mask_emails,
    "id_number": _mask_id_numbers,
    "card": _mask_cards,
    "ip": _mask_addresses,
    "phone": _mask_phones,
}
