"""What is no metric is refused, with the reason."""

from cog import current_scope

WRONG = [
    ("predict_time", 1, None),
    ("cog.x", 1, None),
    ("", 1, None),
    ("a" * 129, 1, None),
    ("a.b.c.d.e", 1, None),
    (".a", 1, None),
    ("a.", 1, None),
    ("a..b", 1, None),
    ("1a", 1, None),
    ("a__b", 1, None),
    ("a-b", 1, None),
    ("a_", 1, None),
    ("t", (1,), None),
    ("a", 1, "bad"),
    ("s", "x", "incr"),
    ("n", 1, "incr"),
]


def run() -> list[str]:
    scope = current_scope()
    scope.record_metric("n", "text")
    errors = []
    for name, value, mode in WRONG:
        try:
            scope.record_metric(name, value, mode=mode)
            errors.append(f"{name} is fine")
        except (TypeError, ValueError) as error:
            errors.append(f"{type(error).__name__}: {error}")
    return errors
