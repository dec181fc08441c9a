import itertools

from rnnlm.audit.card import UNESCAPE
from rnnlm.generation.publishing import escaped


def test_escaping_makes_a_text_one_line_without_loss():
    letters = "n\\\n\r"
    texts = ["".join(made) for n in range(6) for made in itertools.product(letters, repeat=n)]
    lines = [escaped(text) for text in texts]
    assert not any({*line} & {*"\n\r"} for line in lines)
    for text, line in zip(texts, lines, strict=True):
        names = {"line": line}
        exec(UNESCAPE, names)
        assert names["text"] == text


def test_a_text_without_line_ends_is_unchanged():
    assert escaped("red 1 2 3 \u2028 ü\t") == "red 1 2 3 \u2028 ü\t"
