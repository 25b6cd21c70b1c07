"""From flags and environment to a `Config`.

A flag beats `COGLET_<OPTION>`, which beats coglet's own variable, which beats the default. Nothing
is printed here: what an operator should know is returned as notices, as the log is not set up yet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import field, frozen, mutable

from supervisor.cli.concurrency import declared_slots
from supervisor.cli.environment import spoken_to_us, unknown_notices
from supervisor.cli.options import (
    AUTH_TOKEN,
    AUTH_TOKEN_FILE,
    CONCURRENCY,
    MODE,
    OPTIONS,
    PYTHON,
    REF,
    Option,
)
from supervisor.config import Config, Limits, Times, WorkerOptions
from supervisor.exposure import exposure_notices

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Model", "Resolved", "UsageError", "resolve", "resolve_model", "secret_variables"]


class UsageError(Exception):
    """The operator asked for something that can't be; the text is one line for them."""


@frozen
class Resolved:
    """What was decided."""

    config: Config
    notices: list[str]
    """Warnings for the log, one sentence each."""


@frozen
class Model:
    """What it takes to load a model."""

    ref: str
    is_train: bool
    python: str | None
    """The interpreter that was asked for; None: the supervisor's own."""


@mutable
class _Sources:
    """Where values come from, and what was noticed on the way."""

    flags: Mapping[str, str]
    environ: Mapping[str, str]
    notices: list[str] = field(factory=list)

    def find_all(self, options: tuple[Option, ...]) -> dict[str, Any]:
        """The values that were given anywhere, by their fields.

        Raises:
            UsageError: one is no value of its kind, or no model is given.
        """
        _, train = self.find(MODE, is_train=False)
        is_train = bool(train)
        found: dict[str, Any] = {}
        for option in options:
            given, value = self.find(option, is_train=is_train)
            if given:
                found[option.field] = value
        if REF.field not in found:
            raise _no_reference(is_train=is_train)
        return found

    def find(self, option: Option, *, is_train: bool) -> tuple[bool, Any]:
        """Whether the option was given anywhere, and its value.

        Raises:
            UsageError: it was given, and is no value of its kind.
        """
        for source, text in (
            (option.flag, self.flags.get(option.name)),
            (option.variable, self.environ.get(option.variable)),
        ):
            if text is not None:
                return True, _parsed(source, option.kind.parse, text)
        return self._find_coglets(option, is_train=is_train)

    def _find_coglets(self, option: Option, *, is_train: bool) -> tuple[bool, Any]:
        """The same for coglet's own variables."""
        for variable in option.coglets:
            text = self.environ.get(variable.name)
            if text is None or variable.is_train not in (None, is_train):
                continue
            try:
                return True, _parsed(variable.name, variable.parse, text)
            except UsageError as error:
                if not variable.tolerant:
                    raise
                self.notices.append(f"{error}; ignored")
        return False, None


def _parsed(source: str, parse: Any, text: str) -> Any:
    try:
        return parse(text)
    except ValueError as error:
        raise UsageError(f"{source}: {error}") from None


def _no_reference(*, is_train: bool) -> UsageError:
    variable = next(one.name for one in REF.coglets if one.is_train is is_train)
    return UsageError(
        f"no model: give its reference (predict.py:Predictor), or set {REF.variable} or {variable}"
    )


def resolve(flags: Mapping[str, str], environ: Mapping[str, str]) -> Resolved:
    """Decide every option.

    `flags` holds the texts of the options that were given on the command line, by their names.

    Raises:
        UsageError: a value is not possible, or there is no model.
    """
    heard = spoken_to_us(environ)
    sources = _Sources(flags, heard)
    found = sources.find_all(OPTIONS)
    notices = unknown_notices(heard, (option.variable for option in OPTIONS)) + sources.notices
    if CONCURRENCY.field not in found:
        declared = declared_slots(found[REF.field])
        found[CONCURRENCY.field] = declared.slots
        notices += [declared.notice] if declared.notice else []
    config = _config(found)
    _check_together(sources, config)
    notices += exposure_notices(config, environ)
    return Resolved(config, notices + _stop_notices(config.times))


def _check_together(sources: _Sources, config: Config) -> None:
    """Refuse options that contradict each other."""
    if all(sources.find(option, is_train=False)[0] for option in (AUTH_TOKEN, AUTH_TOKEN_FILE)):
        raise UsageError("--auth-token and --auth-token-file are both given: give one")
    if config.tls_key is not None and config.tls_cert is None:
        raise UsageError("--tls-key is given, but no --tls-cert")


def resolve_model(flags: Mapping[str, str], environ: Mapping[str, str]) -> Model:
    """Decide only which model is meant and what it runs on; as `resolve`, without the rest."""
    found = _Sources(flags, spoken_to_us(environ)).find_all((REF, MODE, PYTHON))
    return Model(found[REF.field], found.get(MODE.field, False), found.get(PYTHON.field, None))


def _config(found: dict[str, Any]) -> Config:
    """The values at their places; the rest is defaults."""
    parts: dict[str, dict[str, Any]] = {"": {}, "worker": {}, "times": {}, "limits": {}}
    for place, value in found.items():
        part, _, name = place.rpartition(".")
        parts[part][name] = value
    return Config(
        **parts[""],
        worker=WorkerOptions(**parts["worker"]),
        times=Times(**parts["times"]),
        limits=Limits(**parts["limits"]),
        secret_environment=secret_variables(OPTIONS),
    )


def secret_variables(options: tuple[Option, ...]) -> frozenset[str]:
    """The names of all variables that carry a secret, set or not."""
    names: set[str] = set()
    for option in options:
        if option.secret:
            names.update([option.variable, *(variable.name for variable in option.coglets)])
    return frozenset(names)


def _stop_notices(times: Times) -> list[str]:
    if times.worst_case_stop <= times.termination_grace:
        return []
    notice = (
        f"a stop can take {times.worst_case_stop:g} s, but --termination-grace says that SIGKILL "
        f"comes {times.termination_grace:g} s after SIGTERM: shorten --grace or --drain-delay, or "
        "grant more time"
    )
    return [notice]
