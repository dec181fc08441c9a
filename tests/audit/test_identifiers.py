import pytest

from rnnlm.audit import identifiers


@pytest.mark.parametrize(
    ("text", "digits"),
    [
        ("call 555-0100 123 now", ["5550100123"]),
        ("4929 1234 5678 9012.", ["4929123456789012"]),
        ("4929123456789012 and 123456", ["4929123456789012"]),
        ("12-34-56, 1234  567, 123456/7", []),
        ("12\u00a0345\u202f678 or 12‑345–67", ["12345678", "1234567"]),
        ("٠١٢٣٤٥٦", ["0123456"]),
        ("1\n234567", []),
        ("", []),
    ],
)
def test_numbers_have_seven_digits_or_more(text: str, digits: list[str]):
    assert [row.digits for row in identifiers.rows_of_digits(text)] == digits


def test_long_groups_of_a_row_are_numbers_by_themselves():
    (row,) = identifiers.rows_of_digits("1932 4929123456789012 7")
    assert row.groups == ("4929123456789012",)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Write to Joe.Doe+x@Example.org.", ["joe.doe+x@example.org"]),
        ("<a_b@x.co.uk>,c@d", ["a_b@x.co.uk"]),
        ("@home @ x.org a@b@c.de", ["b@c.de"]),
        ("no address", []),
    ],
)
def test_addresses_are_found_in_lower_case(text: str, found: list[str]):
    assert [address for _, address in identifiers.addresses(text)] == found


def test_a_longer_address_contains_shorter_ones():
    assert identifiers.domain_beginnings("ab@x.org") == ["x.org", "x.or"]
    assert identifiers.local_endings("ab@x.org") == ["ab", "b"]


def test_runs_of_capitalised_words_are_found():
    text = "Then Mary-Ann O'Neil’s aunt saw Émile Zola, in BERLIN; iPhone x2Y. I went."
    runs = identifiers.capitalised(text)
    assert runs == ["Then Mary-Ann O'Neil’s", "Émile Zola", "BERLIN"]
    assert identifiers.words_of_run(runs[0]) == ["then", "mary", "ann", "o'neil"]


def test_masks_show_little_and_keep_the_length():
    text = "No 4929 1234 5678 9012, Joe.Doe@Example.co.uk, or 555-0100."
    masked = identifiers.masked(text)
    assert masked == "No 49•• •••• •••• ••12, J••••••@••••••••••.uk, or 55•-••00."
    assert identifiers.masked(masked) == masked
    assert identifiers.masked_number("4929123456789012") == "49••••••••••••12"


def test_long_texts_are_searched_in_linear_time():
    for text in (
        "@" * 300_000,
        "1-" * 300_000,
        "1 " * 300_000,
        "a." * 300_000,
        "A " * 300_000,
        "Aa-" * 300_000,
    ):
        list(identifiers.rows_of_digits(text))
        list(identifiers.addresses(text))
        identifiers.capitalised(text)
