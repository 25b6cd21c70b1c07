"""Mappings of other kinds than `dict`, with a file inside."""

import collections
import pathlib


class Predictor:
    def predict(self) -> dict:
        pathlib.Path("note.txt").write_text("a note")
        return collections.OrderedDict(b=pathlib.Path("note.txt"), a=collections.Counter("aa"))
