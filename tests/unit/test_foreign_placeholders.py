"""Other programs' placeholders are seen where they hold the name of a column, and nowhere else."""

import pytest

from campaigns.domain.foreign_placeholders import find_foreign_placeholders, names_of

COLUMNS = names_of(["phone", "name", "First Name", "order_id"])


def seen(text: str) -> list[str]:
    return [shown for shown, meant in find_foreign_placeholders(text) if not COLUMNS.isdisjoint(meant)]


@pytest.mark.parametrize(
    "placeholder",
    [
        *("{{name}}", "{{ name }}", "{{NAME}}", "{{ contact.name }}", "{{firstname}}", "{{{name}}}"),
        *("{{name | default: 'x'}}", "((name))", "[name]", "[[name]]", "[First_Name]", "[%name%]"),
        *("[name|friend]", "%name%", "%%name%%", "%FIRST NAME%", "%order-id%", "%(name)s", "%{name}"),
        *("<name>", "<<name>>", "<%= name %>", "\u00abname\u00bb", "${name}", "$name", "$name$"),
        *("#name#", "##name##", "*|NAME|*", ":name:", "|name|", "~name~", "__name__", "@@name@@"),
    ],
)
def test_a_columns_name_in_anybodys_marks_is_seen(placeholder: str) -> None:
    assert seen(f"Dear {placeholder}, your order") != []
    assert seen(f"100% {placeholder}") != []
    assert seen(placeholder.lower().replace("name", "nothing").replace("order-id", "x")) == []


@pytest.mark.parametrize(
    "text",
    [
        "Hello {name}, order #{order_id} is {First Name}",
        "Hello (name) and name and phone",
        "50% name 20% phone",
        "mail info@name.lt or @name, #name",
        "name: phone: 12",
        "price in $ or % of [all] <b>{{both}}</b>",
        "[unsubscribe] *|FNAME|* {{names}}",
    ],
)
def test_other_uses_of_the_marks_are_left_alone(text: str) -> None:
    assert seen(text) == []
