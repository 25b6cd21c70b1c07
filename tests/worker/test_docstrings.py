from __future__ import annotations

import textwrap

import pytest

from worker.docstrings import parameter_descriptions

GOOGLE = """
    Draw a picture.

    Note: this is no section of parameters.

    Args:
        prompt (str, optional): What to draw: in
            English, please.

            A second paragraph.
        size (Callable[[int], int]): Pixels.
        steps:
            How many.
        silent (int):
        **more: Anything else.

    Returns:
        picture: The picture.
    """

NUMPY = """Draw a picture.

    Parameters
    ----------
    prompt : str, optional
        What to draw: in
        English, please.

        A second paragraph.
    size
        Pixels.
    width, height : int
        Both of them.
    silent : int
    **more
        Anything else.

    Returns
    -------
    picture : Picture
        The picture.
    """

SPHINX = """
    Draw a picture.

    :param str prompt: What to draw: in
        English, please.

        A second paragraph.
    :param size: Pixels.
    :type size: int
    :keyword dict[str, int] steps:
        How many.
    :param silent:
    :returns: the picture
    """


def test_the_style_of_google() -> None:
    assert parameter_descriptions(GOOGLE) == {
        "prompt": "What to draw: in English, please. A second paragraph.",
        "size": "Pixels.",
        "steps": "How many.",
        "more": "Anything else.",
    }


def test_the_style_of_numpy() -> None:
    assert parameter_descriptions(NUMPY) == {
        "prompt": "What to draw: in English, please. A second paragraph.",
        "size": "Pixels.",
        "width": "Both of them.",
        "height": "Both of them.",
        "more": "Anything else.",
    }


def test_the_style_of_sphinx() -> None:
    assert parameter_descriptions(SPHINX) == {
        "prompt": "What to draw: in English, please. A second paragraph.",
        "size": "Pixels.",
        "steps": "How many.",
    }


@pytest.mark.parametrize("header", ["Args", "Arguments", "Parameters", "Keyword Args"])
def test_sections_have_several_names(header: str) -> None:
    assert parameter_descriptions(f"{header}:\n    a: first") == {"a": "first"}
    assert parameter_descriptions(f"{header}\n{'-' * len(header)}\na\n    first") == {"a": "first"}


@pytest.mark.parametrize(
    "docstring",
    [
        None,
        "",
        "Args:",
        "Parameters\n----------",
        "one line: with a colon",
        "Args: prompt the user",
        "Returns:\n    a: not a parameter",
        "----\n----\n",
        "Args:\n  no colon here\nend",
        ":param:\n:param : x",
    ],
)
def test_what_says_nothing_of_parameters(docstring: str | None) -> None:
    assert parameter_descriptions(docstring) == {}


def test_two_sections() -> None:
    docstring = """
        Args:
            a: first
        Keyword Args:
            b: second
            a: not again
        """
    assert parameter_descriptions(textwrap.dedent(docstring)) == {"a": "first", "b": "second"}


def test_a_section_on_the_first_line_has_lost_its_indentation() -> None:
    alone = "Args:\n        a: first\n            more\n        b: second\n    "
    assert parameter_descriptions(alone) == {"a": "first more", "b": "second"}
    followed = "Args:\n        a: first\n    Returns:\n        b: no parameter"
    assert parameter_descriptions(followed) == {"a": "first"}
