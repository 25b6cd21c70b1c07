"""The worked example of spec/worker.md 17.4."""

from typing import Any, List, Optional

from cog import BaseRunner, ConcatenateIterator, Input, Path, Secret, streaming

STYLES = ["photo", "art"]
DEFAULT_STEPS = 30


class Runner(BaseRunner):
    @streaming
    def run(
        self,
        prompt: str = Input(
            description="Text prompt", min_length=1, max_length=500, regex="^[a-z]"
        ),
        image: Path = Input(description="Image", accept="image/*"),
        steps: int = Input(default=DEFAULT_STEPS, ge=1, le=100),
        scale: float = 7.5,
        style: str = Input(default="photo", choices=STYLES),
        size: int = Input(choices=[256, 512], default=512, description="px"),
        seed: Optional[int] = Input(default=None),
        raw_seed: int = Input(default=None),
        token: Secret = Input(default=None),
        masks: List[Path] = Input(default=[]),
        extra: dict = Input(default={"a": 1}),
        either: str | float | None = Input(default=None),
        legacy: str = Input(default="x", deprecated=True),
        anything: Any = None,
        flag: bool = False,
        tags: Optional[list[str]] = None,
        bare: Optional[str] = Input(description="b"),
    ) -> ConcatenateIterator[str]:
        yield prompt
