"""Which digit is in the picture? Trained in setup() on the data set that comes with scikit-learn."""

import numpy as np
from cog import BaseModel, BasePredictor, Input, Path
from PIL import Image, ImageOps
from sklearn.datasets import load_digits
from sklearn.ensemble import ExtraTreesClassifier

SIDE = 8
"""The data set's pictures: 8 × 8 pixels, ink from 0 to 16."""


class Candidate(BaseModel):
    digit: int
    probability: float


class Output(BaseModel):
    digit: int
    candidates: list[Candidate]


class Predictor(BasePredictor):
    def setup(self) -> None:
        digits = load_digits()
        # Trained on what predict() will see: the data set's pictures, prepared in the same way.
        prepared = [ink_of(picture_of(pixels)).ravel() for pixels in digits.images]
        self.classifier = ExtraTreesClassifier(n_estimators=200, random_state=0)
        self.classifier.fit(prepared, digits.target)
        print(f"trained on {len(prepared)} pictures")

    def predict(
        self,
        image: Path = Input(description="A picture of one handwritten digit: PNG or JPEG, any size"),
        top_k: int = Input(description="How many candidates to answer", default=3, ge=1, le=10),
    ) -> Output:
        with Image.open(image) as picture:
            ink = ink_of(picture)
        (probabilities,) = self.classifier.predict_proba(ink.reshape(1, -1))
        best = np.argsort(-probabilities, kind="stable")[:top_k]
        return Output(
            digit=int(best[0]),
            candidates=[
                Candidate(digit=int(digit), probability=round(float(probabilities[digit]), 3))
                for digit in best
            ],
        )


def picture_of(pixels: np.ndarray) -> Image.Image:
    """A picture of the data set, enlarged: dark ink on white paper."""
    paper = Image.fromarray((255 - pixels / 16 * 255).astype("uint8"))
    return paper.resize((SIDE * 8, SIDE * 8), Image.Resampling.BICUBIC)


def ink_of(picture: Image.Image) -> np.ndarray:
    """The picture as the data set has them: cut to the digit, 8 × 8, bright ink on black."""
    upright = ImageOps.exif_transpose(picture).convert("RGBA")
    paper = Image.new("RGBA", upright.size, "white")
    gray = ImageOps.autocontrast(Image.alpha_composite(paper, upright).convert("L"))
    pixels = np.asarray(gray)
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    if np.median(border) > 127:  # dark ink on light paper
        gray = ImageOps.invert(gray)
    box = gray.point(lambda value: 255 if value > 64 else 0).getbbox()
    if box is None:
        raise ValueError("the picture is empty: no digit stands out from its paper")
    digit = gray.crop(box)
    # The whole height is the digit's, as in the data set; it stands in the middle.
    scale = SIDE / max(digit.size)
    width, height = (max(1, round(length * scale)) for length in digit.size)
    small = digit.resize((width, height), Image.Resampling.BOX)
    square = Image.new("L", (SIDE, SIDE))
    square.paste(small, ((SIDE - width) // 2, (SIDE - height) // 2))
    return np.asarray(square, dtype=float) / 255 * 16
