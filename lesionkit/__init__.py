"""Skin-lesion classification with deep ensembles: the code behind the numbered notebooks.

It reads as a study flows; imports go one way, from top to bottom.

- `lesionkit.study`: the settings of a study, checked;
- `lesionkit.data`: images and metadata become an index, a split and pixels;
- `lesionkit.learning`: pixels become trained backbones and their predictions;
- `lesionkit.evidence`: predictions become claims, without model or GPU;
- `lesionkit.explain`: models and pixels become heat maps, and heat maps are scored;
- `lesionkit.plots`: figures of all that;
- `lesionkit.workbook`: notebooks are run, and what they make is kept;
- `lesionkit.cli`: the command; `lesionkit.bench`: how fast it is.

How-to guides, a task each: `lesionkit.guides`.
"""

import warnings

__version__ = "0.1.0"
REPOSITORY = "https://github.com/lesionkit/lesionkit"  # the notebooks' first cells repeat it, and a test compares

# What libraries say of themselves while they load is nothing that a reader could mend.
warnings.filterwarnings("ignore", r"`torch\.jit\.script` is deprecated", FutureWarning)
warnings.filterwarnings("ignore", "IProgress not found")
