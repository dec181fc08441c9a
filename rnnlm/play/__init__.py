"""Write a model as one web page that draws texts with it in a browser."""

from rnnlm.play.describing import Named
from rnnlm.play.page import write_page

__all__ = ["Named", "write_page"]
