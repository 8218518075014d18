"""Values of indicators: what is taken, what comes out, what is refused and why."""

from __future__ import annotations

import re

import pytest

from lintas import vocabulary
from lintas.errors import MalformedPayload
from lintas.indicators import _READERS, VALUE_CHARACTERS_MAX, normalise

TAPROOT = "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0"
SEGWIT = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"
P2PKH = "1BnvfxWxbXBvSdRmRrsYQK4FhzGuCLHFZy"
TRON = "TUFWD7rz5C8fF9y6QoBNyEE4zNCcSzRYhy"
EVM = "0xb07f280939945faa01f105fec86e14b33b152397"
EIP55 = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
SHA256 = "5958f3c6fc543ffd86f0158585c4b041c8190b1620fba0c374986f2d3c97057c"

ACCEPTED = [
    ("phone", "+60 70 123 456", "+6070123456"),
    ("phone", "+855 (0)20-335/68.86", "+855203356886"),
    ("phone", "\uff0b\uff16\uff16 ๗๐๔๒๖๕๗๙", "+6670426579"),
    ("phone", "+1234567", "+1234567"),
    ("phone", "+123456789012345", "+123456789012345"),
    ("imei", "49-015420-323751-8", "490154203237518"),
    ("imsi", "502 13 0123456789", "502130123456789"),
    ("imsi", "50213012345678", "50213012345678"),
    ("bank-account", "my:ficbmykl:5140-1234 5678", "MY:FICBMYKL:514012345678"),
    ("bank-account", "MY:FICBMYKLXXX:1234", "MY:FICBMYKL:1234"),
    ("bank-account", "MY:FICBMYKL001:1234", "MY:FICBMYKL001:1234"),
    ("bank-account", "MY:FICBMXXX:1234", "MY:FICBMXXX:1234"),
    ("bank-account", "MY:BANK NO XXX:1234", "MY:BANK NO XXX:1234"),
    ("bank-account", "th: fictional  bank plc :" + "9" * 34, "TH:FICTIONAL BANK PLC:" + "9" * 34),
    ("iban", "tl38 0080 0123 4567 8910 157", "TL380080012345678910157"),
    ("iban", "GB82 WEST 1234 5698 7654 32", "GB82WEST12345698765432"),
    ("payment-card", "4000-0000 0000 0002", "4000000000000002"),
    ("wallet-btc", P2PKH, P2PKH),
    ("wallet-btc", "3J98t1WpEZ73CNmQviecrnyiWrnqRhWNLy", "3J98t1WpEZ73CNmQviecrnyiWrnqRhWNLy"),
    ("wallet-btc", TAPROOT.upper(), TAPROOT),
    ("wallet-btc", SEGWIT.upper(), SEGWIT),
    ("wallet-btc", "bc1pqqqs4em24r", "bc1pqqqs4em24r"),
    (
        "wallet-btc",
        "bc1sqqqsyqcyq5rqwzqfpg9scrgwpugpzysnzs23v9ccrydpk8qarc0jqgfzyvjz2f3888928t",
        "bc1sqqqsyqcyq5rqwzqfpg9scrgwpugpzysnzs23v9ccrydpk8qarc0jqgfzyvjz2f3888928t",
    ),
    ("wallet-evm", EIP55, EIP55.lower()),
    ("wallet-evm", EIP55[2:], EIP55.lower()),
    ("wallet-evm", "0X" + EVM[2:].upper(), EVM),
    ("wallet-tron", f" {TRON} ", TRON),
    ("crypto-tx", "0x" + SHA256.upper(), SHA256),
    ("vessel-imo", "imo 0100214", "0100214"),
    ("vessel-mmsi", "599 000 021", "599000021"),
    ("vessel-mmsi", "985330001", "985330001"),
    ("vessel-mmsi", "201000000", "201000000"),
    ("vessel-mmsi", "775999999", "775999999"),
    ("vessel-mmsi", "005330001", "005330001"),
    ("vessel-mmsi", "111533001", "111533001"),
    ("vessel-name", " mv  Fictional\u00a0Star / xx / fic01 ", "MV FICTIONAL STAR / XX / FIC01"),
    ("container", "zzzu 100417-6", "ZZZU1004176"),
    ("container", "ZZZU100417/6", "ZZZU1004176"),
    ("vehicle-plate", "my: fic-1234", "MY:FIC1234"),
    ("vehicle-plate", "TH:๑กข ๒๓๔๕", "TH:1กข2345"),
    ("vehicle-plate", "XK:01", "XK:01"),
    ("vehicle-vin", "1m8gdm9axkp042788", "1M8GDM9AXKP042788"),
    ("flight", "xx 0123 @ 2026-11-23", "XX123@2026-11-23"),
    ("flight", "ABC12K@2028-02-29", "ABC12K@2028-02-29"),
    ("flight", "9x1234@2026-11-23", "9X1234@2026-11-23"),
    ("travel-document", "uto:l898902c3:6", "UTO:L898902C3"),
    ("travel-document", "UTO:ZE184226B<<<<<", "UTO:ZE184226B"),
    ("travel-document", "D<<:ABC", "DEU:ABC"),
    ("travel-document", "sg:" + "K" * 20, "SGP:" + "K" * 20),
    ("person", "FICTIONAL<<ARJUNA|1988-04-01|UTO", "FICTIONAL<<ARJUNA|1988-04-01|UTO"),
    ("person", "fictional-müller, Zoë   D'Arc | 1988-04 | sg", "FICTIONAL<MUELLER<<ZOE<DARC|1988-04|SGP"),
    ("person", "Nguyễn, Đức|1988|", "NGUYEN<<DUC|1988|"),
    ("person", "Weiß", "WEISS||"),
    ("person", "A|1850|", "A|1850|"),
    ("organization", "Fictional  Glaze Co., Ltd.||th", "FICTIONAL GLAZE CO., LTD.||TH"),
    ("organization", "บริษัท สมมุติ", "บริษัท สมมุติ||"),
    ("organization", "A|" + "B" * 20 + "|", "A|" + "B" * 20 + "|"),
    ("organization", "Fictional|5493006MHB84DD0ZWV18|", "FICTIONAL|5493006MHB84DD0ZWV18|"),
    ("social-handle", "Telegram:@Fictional_Lotus", "telegram:fictional_lotus"),
    ("social-handle", "twitter : fictional", "x:fictional"),
    ("social-handle", "wa:+60 70 123 456", "whatsapp:+6070123456"),
    ("email", "Support@LotusTrade.Example", "Support@lotustrade.example"),
    ("email", "a@bücher.example", "a@xn--bcher-kva.example"),
    ("domain", "LotusTrade.EXAMPLE.", "lotustrade.example"),
    ("domain", "Bücher.example", "xn--bcher-kva.example"),
    ("domain", "ไทย。example", "xn--o3cw4h.example"),
    ("domain", "xn--bcher-kva.example", "xn--bcher-kva.example"),
    ("domain", "_dmarc.a--b.example", "_dmarc.a--b.example"),
    ("url", "HTTPS://LotusTrade.example:443/KYC", "https://lotustrade.example/KYC"),
    (
        "url",
        "http://u:p@203.0.113.77:08080?q=%7e%c3%a9&x=é#Ü",
        "http://u:p@203.0.113.77:8080/?q=~%C3%A9&x=%C3%A9#%C3%9C",
    ),
    ("url", "https://scam.example:65535/", "https://scam.example:65535/"),
    ("url", "https://[::ffff:203.0.113.77]/", "https://203.0.113.77/"),
    ("url", "ftp://[2001:DB8::0:5]:21/", "ftp://[2001:db8::5]/"),
    ("ip", "203.0.113.77", "203.0.113.77"),
    ("ip", "2001:DB8:77:0::5", "2001:db8:77::5"),
    ("ip", "::ffff:203.0.113.77", "203.0.113.77"),
    ("file-hash", "SHA256:" + SHA256.upper(), SHA256),
    ("file-hash", "sha-1:" + "a" * 40, "a" * 40),
    ("file-hash", "A" * 32, "a" * 32),
    ("file-hash", "b" * 128, "b" * 128),
    ("position", "5.01235, 119.9", "5.01235,119.90000"),
    ("position", "5.012345s 119.9°w", "-5.01234,-119.90000"),
    ("position", "-0.000001;-180", "0.00000,180.00000"),
    ("position", "\u221290 +180", "-90.00000,180.00000"),
    ("port", "my pkg", "MYPKG"),
    ("port", "XZAB2", "XZAB2"),
]

REFUSED = [
    ("phone", "070 123 456", "begins with +"),
    ("phone", "+0070123456", "digit 1 after + is wrong"),
    ("phone", "+607O123456", "Character 4 of the telephone number after +, 'O'"),
    ("phone", "+123456", "has 6 characters; 7 to 15"),
    ("phone", "+1234567890123456", "has 16 characters; 7 to 15"),
    ("imei", "490154203237517", "is '7', but '8' follows"),
    ("imei", "49015420323751", "has 14 characters; 15"),
    ("imsi", "5021301234567890", "14 to 15"),
    ("imsi", "5021301234567", "14 to 15"),
    ("bank-account", "FICBMYKL:1234", "CC:BANK:NUMBER"),
    ("bank-account", "QQ:FICBMYKL:1234", "'QQ' is no ISO 3166"),
    ("bank-account", "MY:F:1234", "bank has 1 characters"),
    ("bank-account", "MY:" + "F" * 71 + ":1234", "bank has 71"),
    ("bank-account", "MY:FICBMYKL:123", "4 to 34"),
    ("bank-account", "MY:FICBMYKL:" + "1" * 35, "4 to 34"),
    ("bank-account", "MY:FICBMYKL:12#45", "Character 3 of the account number, '#'"),
    ("iban", "TL380080012345678910158", "is '38', but '11' follows"),
    ("iban", "TLX80080012345678910157", "Character 1 of the check number, 'X'"),
    ("iban", "TL38008001234567891015", "IBAN of Timor-Leste has 22"),
    ("iban", "QQ380080012345678910157", "no ISO 3166"),
    ("iban", "GB82WEST12345_", "Character 14 of the IBAN, '_'"),
    ("iban", "GB82WEST123456", "15 to 34"),
    ("iban", "GB82" + "1" * 31, "15 to 34"),
    ("payment-card", "4000000000000003", "is '3', but '2' follows"),
    ("payment-card", "40000000006", "12 to 19"),
    ("payment-card", "4" * 20, "12 to 19"),
    ("wallet-btc", P2PKH[:-1] + "z", "checksum"),
    ("wallet-btc", "0" + P2PKH[1:], "Character 1 of the Bitcoin address, '0'"),
    ("wallet-btc", TRON, "Version byte 65"),
    ("wallet-btc", "1" * 25, "26 to 35"),
    ("wallet-btc", "1" * 36, "26 to 35"),
    ("wallet-btc", TAPROOT[:-1] + "q", "checksum"),
    ("wallet-btc", "bc1P" + TAPROOT[4:], "all small letters or all capitals"),
    ("wallet-btc", "bc1b" + TAPROOT[4:], "Character 1 of the address after bc1, 'b'"),
    ("wallet-btc", "bc1" + "q" * 88, "checksum"),
    ("wallet-btc", "bc1", "checksum"),
    ("wallet-btc", "12D2adLM3UKy4Z4giRbReR6gjWx1w6Dz", "Version byte 0 with 19 bytes"),
    ("wallet-btc", "1QXEx2ZQ9mEdvMSaVKHznFv6iZq2LQbDz8", "Version byte 0 with 21 bytes"),
    ("wallet-btc", "3R7wzdD6eYgsd3X3QoqTrXn5sQCTXRdsDn", "Version byte 6 with 20 bytes"),
    ("wallet-btc", "bc1pqqlppvpg", "Witness version 1 with 1 bytes"),
    ("wallet-btc", "bc1pqqqsyqcyq5rqwzqfpg9scrgwpugpzysnzs23v9ccrydpk8qarc0jqgfzyvjz2f389q02am2l", "with 41 bytes"),
    ("wallet-btc", "bc13qqqsyqcyq5rqwzqfpg9scrgwpugpzysnlzezjf", "Witness version 17 with 20 bytes"),
    ("wallet-btc", "bc1qqqqsyqcyq5rqwzqfpg9scrgwpugpzysnzsf6edgu", "Witness version 0 with 21 bytes"),
    ("wallet-btc", "bc1pw5dgrnzv", "Witness version 1 with 1 bytes"),
    ("wallet-btc", "BC1QR508D6QEJXTDG4Y5R3ZARVARYV98GJ9P", "Witness version 0 with 16 bytes"),
    ("wallet-evm", EIP55.replace("aA", "aa"), "Character 3 after 0x is 'a'; its EIP-55 checksum demands 'A'"),
    ("wallet-evm", EVM[:-1], "has 39 characters; 40 are needed"),
    ("wallet-evm", EVM[:-1] + "g", "Character 40 of the address, 'g'"),
    ("wallet-tron", P2PKH, "Version byte 0"),
    ("wallet-tron", TRON.lower(), "checksum"),
    ("wallet-tron", TRON[:-1] + "0", "Character 34 of the TRON address, '0'"),
    ("crypto-tx", SHA256[:-1], "has 63 characters; 64"),
    ("crypto-tx", SHA256[:-1] + "x", "Character 64"),
    ("vessel-imo", "0100215", "is '5', but '4' follows"),
    ("vessel-imo", "010021", "has 6 characters"),
    ("vessel-mmsi", "199000021", "201 to 775"),
    ("vessel-mmsi", "776000021", "201 to 775"),
    ("vessel-mmsi", "200000021", "201 to 775"),
    ("vessel-mmsi", "970533001", "201 to 775"),
    ("vessel-mmsi", "59900002", "has 8 characters"),
    ("vessel-name", " ", "1 to 200"),
    ("vessel-name", "A" * 201, "1 to 200"),
    ("container", "ZZZU1004177", "is '7', but '6' follows"),
    ("container", "ZZZX1004176", "Character 4 of the container number is 'X'; it is U, J or Z"),
    ("container", "ZZ1U1004176", "Character 3 of the container number, '1'"),
    ("container", "ZZZU10O4176", "Character 3 of the serial number, 'O'"),
    ("container", "ZZZU100417", "has 10 characters; 11"),
    ("vehicle-plate", "FIC1234", "CC:PLATE"),
    ("vehicle-plate", "QQ:FIC1234", "no ISO 3166"),
    ("vehicle-plate", "MY:FIC_1234", "Character 4 of the plate, '_'"),
    ("vehicle-plate", "MY:F", "2 to 12"),
    ("vehicle-plate", "MY:" + "F" * 13, "2 to 12"),
    ("vehicle-vin", "1M8GDM9AXKP04278", "has 16 characters; 17"),
    ("vehicle-vin", "1M8GDM9AXKPO42788", "Character 12 of the VIN, 'O'"),
    ("flight", "XX123", "XX123@YYYY-MM-DD"),
    ("flight", "12123@2026-11-23", "XX123@YYYY-MM-DD"),
    ("flight", "XX12345@2026-11-23", "XX123@YYYY-MM-DD"),
    ("flight", "XX0@2026-11-23", "XX123@YYYY-MM-DD"),
    ("flight", "XX123@2026-02-29", "no day 2026-02-29"),
    ("travel-document", "L898902C3", "ISSUER:NUMBER"),
    ("travel-document", "A:B:C:D", "ISSUER:NUMBER"),
    ("travel-document", "QQQ:L898902C3", "'QQQ' is no issuer"),
    ("travel-document", "UTO:L898902C3:5", "is '5', but '6' follows"),
    ("travel-document", "UTO:L8_", "Character 3 of the document number, '_'"),
    ("travel-document", "UTO:L8", "3 to 20"),
    ("travel-document", "UTO:" + "L" * 21, "3 to 20"),
    ("person", "A|B|C|D", "NAME|YYYY-MM-DD|NATIONALITY"),
    ("person", "|1988|UTO", "name has 0"),
    ("person", "A" * 201, "1 to 200"),
    ("person", "สมชาย||", "no Latin letter"),
    ("person", "AGENT 7||", "Character 7 of the name, '7'"),
    ("person", "A|1988-02-30|", "no day 1988-02-30"),
    ("person", "A|0000|", "born in 0."),
    ("person", "A|1849-01-01|", "born in 1849"),
    ("person", "A|1.4.1988|", "YYYY-MM-DD"),
    ("person", "A||QQQ", "no issuer"),
    ("organization", "A|B|C|D", "NAME|REGISTRATION|CC"),
    ("organization", "|1|TH", "name has 0"),
    ("organization", "A" * 201, "1 to 200"),
    ("organization", "A|" + "1" * 41 + "|", "registration number has 41"),
    ("organization", "A|5493006MHB84DD0ZWV19|", "check digit of the LEI is '19', but '18' follows"),
    ("organization", "A||QQ", "no ISO 3166"),
    ("social-handle", "fictional", "PLATFORM:ACCOUNT"),
    ("social-handle", "telegram", "PLATFORM:ACCOUNT"),
    ("social-handle", "myspace:fictional", "platforms are bluesky"),
    ("social-handle", "telegram:@", "1 to 128"),
    ("social-handle", "telegram:" + "a" * 129, "1 to 128"),
    ("social-handle", "telegram:Fictional Lotus", "holds a blank"),
    ("social-handle", "whatsapp:+60", "7 to 15"),
    ("email", "support.lotustrade.example", "the @ is missing"),
    ("email", "sup port@lotustrade.example", "Character 4 of the mailbox, ' '"),
    ("email", "@lotustrade.example", "1 to 64"),
    ("email", "a" * 65 + "@lotustrade.example", "1 to 64"),
    ("email", ".a@lotustrade.example", "dot in the mailbox"),
    ("email", "a.@lotustrade.example", "dot in the mailbox"),
    ("email", "a..b@lotustrade.example", "dot in the mailbox"),
    ("email", "a@" + ".".join(["a" * 63] * 3) + "." + "b" * 61, "e-mail address has 255"),
    ("domain", "localhost", "at least two labels"),
    ("domain", "203.0.113.77", "use type ip"),
    ("domain", "a..example", "label of the domain has 0"),
    ("domain", "a" * 64 + ".example", "label of the domain has 64"),
    ("domain", ".".join(["a" * 63] * 3) + "." + "b" * 62, "domain has 254"),
    ("domain", "-a.example", "'-a' may hold"),
    ("domain", "a-.example", "'a-' may hold"),
    ("domain", "a/b.example", "may hold"),
    ("domain", "xn--a\u00a0.example", "internationalised"),
    ("domain", "xn--zzzzzz-.example", "internationalised"),
    ("domain", "☃\u200d.example", "internationalised"),
    ("url", "scam.example/login", "SCHEME://HOST/PATH"),
    ("url", "https://a@b@scam.example/", "SCHEME://HOST/PATH"),
    ("url", "https://scam.example:https/", "optional port"),
    ("url", "https://scam.example:65536/", "Ports end at 65535"),
    ("url", "https://scam.example:" + "9" * 300 + "/", "Ports end at 65535"),
    ("url", "https://scam/", "at least two labels"),
    ("url", "https://203.0.113.256/", "no IP address"),
    ("url", "https://[2001:db8::g]/", "no IP address"),
    ("url", "https://scam.example/a b", "' ' (character 3"),
    ("url", "https://scam.example/a\tb", "must be percent-encoded"),
    ("url", "https://scam.example/a\\b", "must be percent-encoded"),
    ("url", "https://scam.example/\x7f", "must be percent-encoded"),
    ("url", "https://scam.example/\ud800", "must be percent-encoded"),
    ("url", "https://scam.example/50%", "percent sign"),
    ("url", "https://scam.example/%zz", "percent sign"),
    ("url", "https://scam.example/" + "é" * 1000, "has 6021 characters; 2048"),
    ("ip", "203.0.113.256", "no IP address"),
    ("ip", "203.0.113.077", "no IP address"),
    ("ip", "203.0.113.0/24", "no IP address"),
    ("ip", "fe80::1%eth0", "zone"),
    ("file-hash", "a" * 31, "has 31 hex digits"),
    ("file-hash", "a" * 33, "has 33 hex digits"),
    ("file-hash", "g" * 32, "Character 1 of the hash, 'g'"),
    ("file-hash", "sha256:" + "a" * 40, "has 40 hex digits; 64"),
    ("file-hash", "crc:" + "a" * 32, "none of md5"),
    ("position", "5.01235", "LATITUDE,LONGITUDE"),
    ("position", "90.00001,0", "at most 90 degrees"),
    ("position", "0,180.00001", "at most 180 degrees"),
    ("position", "5.0E,119.9", "not written in decimal degrees"),
    ("position", "-5.0S,119.9", "not written in decimal degrees"),
    ("position", "5.0,119.9N", "not written in decimal degrees"),
    ("position", "5°1'23,119", "not written in decimal degrees"),
    ("port", "MYPK", "has 4 characters; 5"),
    ("port", "QQPKG", "no ISO 3166"),
    ("port", "MYPK1", "Character 3 of the place"),
]


@pytest.mark.parametrize(("kind", "value", "expected"), ACCEPTED)
def test_what_people_write_becomes_canonical(kind: str, value: str, expected: str) -> None:
    """Blanks, dashes, case and local digits do not matter."""
    actual = normalise(kind, value)

    assert expected == actual


@pytest.mark.parametrize(("kind", "value"), sorted({(kind, canonical) for kind, _, canonical in ACCEPTED}))
def test_a_canonical_value_stays_as_it_is(kind: str, value: str) -> None:
    """Normalising twice is normalising once."""
    actual = normalise(kind, value)

    assert value == actual


@pytest.mark.parametrize(("kind", "value", "words"), REFUSED)
def test_a_wrong_value_is_refused_with_its_fault(kind: str, value: str, words: str) -> None:
    """The detail says which character or digit is wrong, the member is `value`."""
    with pytest.raises(MalformedPayload, match=re.escape(words)) as caught:
        normalise(kind, value)

    assert caught.value.member == "value"


def test_every_type_of_the_vocabulary_is_read_and_no_other() -> None:
    """The table and the vocabulary agree."""
    assert set(vocabulary.load().indicator_types) == set(_READERS)


def test_every_type_is_tested_both_ways() -> None:
    """Each of the 28 types occurs among the accepted and among the refused values."""
    accepted, refused = {case[0] for case in ACCEPTED}, {case[0] for case in REFUSED}

    assert (set(_READERS), set(_READERS)) == (accepted, refused)


def test_an_unknown_type_is_refused_as_a_type() -> None:
    """The member at fault is the type, and the types there are get named."""
    with pytest.raises(MalformedPayload, match="no type of indicator; types are phone") as caught:
        normalise("telepathy", "x")

    assert caught.value.member == "type"


def test_a_value_one_past_the_limit_is_refused() -> None:
    """The limit holds before anything is read."""
    longest = "https://scam.example/" + "a" * (VALUE_CHARACTERS_MAX - 21)

    assert longest == normalise("url", longest)
    with pytest.raises(MalformedPayload, match="has 2049 characters; 2048 is the limit"):
        normalise("url", longest + "a")


@pytest.mark.parametrize("hidden", ["\x00", "\n", "\u202e", "\u2066", "\u200e", "\ufeff", "\ud800", "\x9f"])
def test_hidden_characters_are_refused_not_dropped(hidden: str) -> None:
    """Two values that look alike stay apart."""
    with pytest.raises(MalformedPayload, match=f"Character 2 is invisible or a control .U.{ord(hidden):04X}"):
        normalise("vessel-name", f"A{hidden}B")
