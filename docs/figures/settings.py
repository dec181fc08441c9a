"""Write docs/settings.md, the reference of all settings, from the configuration classes.

python docs/figures/settings.py
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from rnnlm.config.reference import Setting, sections, settings

PAGE = ROOT / "docs" / "settings.md"


def page() -> str:
    """Return the page, in Markdown."""
    lines = [
        "# Settings",
        "",
        "Every setting of a config file and of `--set KEY=VALUE`, as `rnnlm settings` explains it. "
        "`python docs/figures/settings.py` writes this page.",
    ]
    known = [*settings()]
    for setting in known:
        if "." not in setting.key:
            lines += ["", entry(setting)]
    for section, about in sections().items():
        lines += ["", f"## {section}", about]
        for setting in known:
            if setting.key.startswith((f"{section}.", f"{section}[]")):
                lines += ["", entry(setting)]
    return "\n".join(lines) + "\n"


def entry(setting: Setting) -> str:
    """Return the entry of a setting: its name, values, default and description."""
    default = f", by default `{setting.default}`" if setting.default else ""
    values = setting.values.replace(" | ", ", ")
    return f"**`{setting.key}`** ({values}{default}): {setting.description}"


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
