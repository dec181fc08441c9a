"""A model as one web page, which draws texts with it in any browser."""

from rnnlm.play.describing import Named
from rnnlm.play.page import write_page

__all__ = ["Named", "write_page"]
