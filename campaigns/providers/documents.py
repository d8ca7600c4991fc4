"""JSON as providers write it: what every adapter reads alike. Pure."""


def object_once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """An object whose every key stands once, for `json.loads`. Raises ValueError."""
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a key stands twice: which of the two is meant nobody can say")
    return made


def field_of(holder: object, name: str) -> object:
    """What stands under `name`, None where `holder` is no object or has none."""
    return holder.get(name) if isinstance(holder, dict) else None
