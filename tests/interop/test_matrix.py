"""Every expectation of `expectations.toml` in every cell where it means something."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.interop.asking import NotServing, SlotLost, ask
from tests.interop.conftest import VERDICT

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.interop.expectations import Expectation
    from tests.interop.servers import Serving


def test_expectation(
    serving: Serving, expectation: Expectation, record_property: Callable[[str, object], None]
) -> None:
    cell = serving.server.cell

    def verdict(text: str) -> None:
        record_property(VERDICT, (str(cell), expectation.name, text))

    verdict("FAIL")
    quirk = expectation.quirk(cell)
    wrong = asked_until_answered(serving, expectation, attempts=4 if quirk is None else 1)
    if quirk is not None and wrong:
        verdict(quirk)
    elif quirk is not None:
        verdict("ok")
        assert expectation.sometimes, f"{cell} is not broken by {quirk} any more"
    elif wrong and cell.is_control and not expectation.own:
        verdict("(fails)")
        pytest.xfail(f"the control: {wrong}")
    else:
        verdict("FAIL" if wrong else "ok")
        assert not wrong, f"{wrong}\nthe server's log ends with:\n{serving.server.log[-3000:]}"


def asked_until_answered(serving: Serving, expectation: Expectation, *, attempts: int) -> list[str]:
    """Ask, of a fresh server if a real coglet's has lost its slot."""
    wrong = []
    for _ in range(attempts):
        try:
            return ask(serving.server, expectation)
        except NotServing as error:
            log = serving.server.log[-3000:]
            raise AssertionError(f"{error}\nthe server's log ends with:\n{log}") from error
        except SlotLost as lost:
            wrong = [f"a slot was lost: {lost}"]
            serving.restart()
    return wrong
