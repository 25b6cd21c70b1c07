"""`@cog.concurrent(max=N)`, read without running the model."""

from __future__ import annotations

import textwrap

import pytest

from supervisor.cli.concurrency import declared_slots
from supervisor.cli.resolve import resolve

PLAIN = """
    import cog
    class Predictor(cog.BasePredictor):
        @cog.concurrent(max=4)
        async def predict(self) -> str: ...
"""


@pytest.fixture
def model(tmp_path):
    def write(source: str, name: str = ":Predictor") -> str:
        path = tmp_path / "predict.py"
        path.write_text(textwrap.dedent(source))
        return f"{path}{name}"

    return write


@pytest.mark.parametrize(
    "source",
    [
        PLAIN,
        """
        import cog as c
        class Predictor:
            @c.concurrent(max=4)
            async def run(self) -> str: ...
        """,
        """
        from cog import concurrent
        class Predictor:
            @some_other
            @concurrent(max=4)
            async def predict(self) -> str: ...
        """,
        """
        from cog import concurrent as several
        @several(max=4)
        async def Predictor() -> str: ...
        """,
        """
        from cog import *
        class Base:
            @concurrent(max=4)
            async def predict(self) -> str: ...
        class Predictor(Base): ...
        """,
        """
        try:
            import cog
        except ImportError:
            cog = None
        if True:
            class Predictor:
                @cog.concurrent(max=4)
                async def predict(self) -> str: ...
        """,
    ],
)
def test_a_literal_number_is_found(model, source: str) -> None:
    declared = declared_slots(model(source))
    assert (declared.slots, declared.notice) == (4, None)


@pytest.mark.parametrize(
    "source",
    [
        "class Predictor:\n    def predict(self) -> str: ...",
        "import cog\nclass Predictor:\n    @cog.streaming\n    def predict(self) -> str: ...",
        "import cog\nclass Predictor:\n    @cog.concurrent\n    def predict(self) -> str: ...",
        "import cog\nclass Predictor:\n    @cog.concurrent()\n    def predict(self) -> str: ...",
        # Somebody else's decorator of the same name.
        (
            "from lib import concurrent\nclass Predictor:\n"
            "    @concurrent(max=4)\n    def predict(self) -> str: ..."
        ),
        # Another method's.
        (
            "import cog\nclass Predictor:\n    @cog.concurrent(max=4)\n    def other(self): ...\n"
            "    def predict(self) -> str: ..."
        ),
    ],
)
def test_without_it_there_is_1_slot_and_nothing_to_say(model, source: str) -> None:
    declared = declared_slots(model(source))
    assert (declared.slots, declared.notice) == (1, None)


@pytest.mark.parametrize("number", ["N", "2 + 2", "0", "True", "'4'", "os.cpu_count()"])
def test_a_number_that_is_not_literal_is_1_slot_and_a_notice(model, number: str) -> None:
    declared = declared_slots(model(PLAIN.replace("4", number)))
    assert declared.slots == 1
    assert declared.notice is not None
    assert "--max-concurrency" in declared.notice


@pytest.mark.parametrize(
    "source",
    [
        "import cog\nfrom base import Predictor",
        "import cog, base\nclass Predictor(base.Base): ...",
        "import cog\nclass Predictor(Predictor): ...",
    ],
)
def test_a_method_from_elsewhere_is_1_slot_and_a_notice(model, source: str) -> None:
    declared = declared_slots(model(source))
    assert declared.slots == 1
    assert "is not in its file" in (declared.notice or "")


def test_arguments_that_cannot_be_seen_are_a_notice(model) -> None:
    declared = declared_slots(model(PLAIN.replace("max=4", "**how")))
    assert declared.slots == 1
    assert "no plain number" in (declared.notice or "")


def test_without_a_name_a_runner_wins_over_a_predictor(model) -> None:
    both = PLAIN + PLAIN.replace("Predictor(", "Runner(").replace("4", "7")
    assert declared_slots(model(both, name="")).slots == 7
    assert declared_slots(model(PLAIN, name="")).slots == 4


@pytest.mark.parametrize("source", ["class Predictor(:", "\0"])
def test_a_file_that_cannot_be_parsed_is_left_to_the_worker(model, source: str) -> None:
    declared = declared_slots(model(source))
    assert (declared.slots, declared.notice) == (1, None)


def test_a_file_that_is_not_there_is_left_to_the_worker(tmp_path) -> None:
    assert declared_slots(f"{tmp_path}/none.py:Predictor").slots == 1


def test_the_model_is_not_run(model, tmp_path) -> None:
    trace = tmp_path / "ran"
    declared_slots(model(f"open({str(trace)!r}, 'w')\n" + textwrap.dedent(PLAIN)))
    assert not trace.exists()


def test_the_declaration_is_the_last_word_only_when_nobody_else_speaks(model) -> None:
    ref = model(PLAIN)
    assert resolve({"ref": ref}, {}).config.max_concurrency == 4
    assert resolve({"ref": ref}, {"COG_MAX_CONCURRENCY": "2"}).config.max_concurrency == 2
    assert resolve({"ref": ref, "max-concurrency": "3"}, {}).config.max_concurrency == 3
    # An invalid one of coglet's is ignored, so the declaration speaks again.
    assert resolve({"ref": ref}, {"COG_MAX_CONCURRENCY": "x"}).config.max_concurrency == 4


def test_its_notice_reaches_the_operator(model) -> None:
    (notice,) = resolve({"ref": model(PLAIN.replace("4", "N"))}, {}).notices
    assert "@cog.concurrent" in notice
