from support import compatibility


def test_the_page_on_compatibility_is_up_to_date() -> None:
    assert compatibility.PAGE.read_text() == compatibility.page(), (
        "run: python tests/support/compatibility.py"
    )
