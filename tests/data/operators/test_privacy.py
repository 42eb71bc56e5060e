"""Personal data is masked wherever it stands, and other numbers are not."""

import pytest

from loraflow.data.operators.privacy import Pii
from tests.data.operators import edited

ALL = Pii(["email", "phone", "id_number", "ip", "card"])


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("邮箱zhang.san@qq.com。", "邮箱[EMAIL]。"),
        ("Write to a_b+c@mail.example.co.uk.", "Write to [EMAIL]."),
        ("<13812345678@139.com>", "<[EMAIL]>"),
        ("电话13812345678吗", "电话[PHONE]吗"),
        ("+86 138-1234-5678、(+86)13812345678、8613812345678", "[PHONE]、[PHONE]、[PHONE]"),
        ("138 1234 5678,13912345678", "[PHONE],[PHONE]"),
        ("座机010-12345678或（0755）1234567", "座机[PHONE]或[PHONE]"),
        ("+1 (415) 555-2671, +44 20 7946 0958, +33 6 12 34 56 78", "[PHONE], [PHONE], [PHONE]"),
        ("(415) 555-2671, 415-555-2671, 1-415-555-2671", "[PHONE], [PHONE], [PHONE]"),
        ("身份证11010519491231002X号", "身份证[ID]号"),
        ("身份证号：11010519491231002x", "身份证号：[ID]"),
        ("服务器192.168.1.20上，8.8.8.8:53", "服务器[IP]上，[IP]:53"),
        ("2001:db8::1 and fe80::1ff:fe23:4567:890a", "[IP] and [IP]"),
        ("卡号4111111111111111，", "卡号[CARD]，"),
        ("4111 1111 1111 1111, 3782-822463-10005, 6222021234567890128", "[CARD], [CARD], [CARD]"),
    ],
)  # fmt: skip
def test_personal_data_is_masked(text: str, masked: str) -> None:
    assert edited(ALL, text) == masked


@pytest.mark.parametrize(
    "text",
    [
        "@user, x @ y, a@b, self.x@w.transpose(), git@github.com:a/b",
        "订单20231012138123456789，1381234567，138123456789，12812345678",
        "a13812345678 13812345678b 3.13812345678 13812345678.5",
        "15000000000元，1,234,567,890",
        "+5 10 15 20 25, 1+12345678, +12",
        "110105194912310021 110105194913310020",  # check digit, month
        "v1.2.3.4, version 1.2.3.4, 版本1.2.3.4, Chrome/120.0.0.0, 1.2.3.4.5, 256.1.1.1, 1.2.3",
        "127.0.0.1 0.0.0.0 255.255.255.0",
        "std::abs, A::b, 12:30:45, 2023:10:12, ::1, feed::add",
        "4111111111111112 1234567812345670 9787111123453 41111111111111110000",
        "2023-10-12 10:00:00, 1609459200, 1609459200000, 3.14159265358979",
    ],
)
def test_other_numbers_and_names_stay(text: str) -> None:
    assert edited(ALL, text) == text


def test_only_the_kinds_asked_for_are_masked() -> None:
    assert edited(Pii(["email"]), "a@b.com 13812345678") == "[EMAIL] 13812345678"
    assert edited(Pii(["phone"]), "a@b.com 13812345678") == "a@b.com [PHONE]"
