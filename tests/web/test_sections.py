"""Sections: a view registers its address, link and message at one place, and the routes serve it."""

from collections import Counter

from server.web.routes import SECTIONS
from server.web.shell.section import Form, Section, Shown, Visit


def test_a_view_is_known_where_it_is_registered() -> None:
    section = Section()

    @section.page("/things", "/all-things", link="Things")
    def things(visit: Visit) -> Shown:
        return Shown("things.html")

    @section.action("polish", "Polished.")
    def polish(form: Form) -> str:
        return "/things"

    assert section.pages == {"/things": things, "/all-things": things}
    assert section.navigation == [("/things", "Things")]
    assert section.actions["polish"].act is polish
    assert section.actions["polish"].done == "Polished."


def test_no_address_and_no_action_is_registered_twice() -> None:
    addresses = Counter(path for section in SECTIONS for path in (*section.pages, *section.data_views))
    actions = Counter(name for section in SECTIONS for name in section.actions)
    assert [path for path, count in addresses.items() if count > 1] == []
    assert [name for name, count in actions.items() if count > 1] == []
