"""Inputs of every kind that can be checked, and outputs with a file."""

import tempfile
from typing import Optional

from cog import BaseModel, BasePredictor, Input, Path, Secret


class Output(BaseModel):
    said: str
    sizes: list[int]
    seed: Optional[int]
    file: Path


class Predictor(BasePredictor):
    def predict(
        self,
        prompt: str = Input(description="What to say", min_length=1, max_length=20, regex="^[a-z]"),
        style: str = Input(choices=["photo", "art"], default="photo"),
        size: int = Input(choices=[256, 512], default=512),
        steps: int = Input(default=3, ge=1, le=10),
        scale: float = Input(default=0.5, ge=0, le=1),
        image: Optional[Path] = Input(default=None),
        masks: list[Path] = Input(default=[]),
        token: Secret = Input(default=None),
        seed: Optional[int] = Input(default=None),
        tags: Optional[list[str]] = Input(default=None),
        extra: dict = Input(default={"a": 1}),
        loud: bool = False,
    ) -> Output:
        files = [*masks, *([image] if image is not None else [])]
        sizes = [len(Path(file).read_bytes()) for file in files]
        said = f"{prompt} {style} {size} {scale} {token is None} {tags} {extra}" * steps
        return answer(said.upper() if loud else said, sizes, seed)

    def train(self, prompt: str, steps: int = Input(default=3, ge=1, le=10)) -> Output:
        return answer(prompt * steps)


def answer(said: str, sizes: list[int] = [], seed: Optional[int] = None) -> Output:
    file = Path(tempfile.mkdtemp()) / "said.txt"
    file.write_text(said)
    return Output(said=said, sizes=sizes, seed=seed, file=file)
