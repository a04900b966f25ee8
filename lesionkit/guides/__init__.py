"""How-to guides: one page each, for one task."""

from pathlib import Path

GUIDES = sorted(Path(__file__).parent.glob("*.md"))

__doc__ = f"{__doc__}\n\n" + "\n".join(f".. include:: {guide.name}" for guide in GUIDES)  # pdoc renders them below
