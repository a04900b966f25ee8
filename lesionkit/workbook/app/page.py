"""The words and the look of an answer, as HTML in one piece: pictures lie within, nothing is fetched, nothing is run."""

from base64 import b64encode

import jinja2

from lesionkit.data.records import CLASS_NAMES, CLASSES
from lesionkit.evidence.conformal import ALPHA
from lesionkit.evidence.predictions import probabilities
from lesionkit.plots.style import CLASS_COLOURS, SPLIT_LABELS, model_label
from lesionkit.study import Study
from lesionkit.workbook.app.answers import Answer
from lesionkit.workbook.caveats import caveat
from lesionkit.workbook.fitted import UNLIKE, Reference

EMPTY = '<p class="lk-faint">The answer will stand here. Nothing of an image is kept.</p>'

_BANNER = """<div class="lk-banner" role="note">
<strong>For research only: no medical device.</strong> Show what worries you to a doctor.
{% if note %}<strong>{{ note }}.</strong>{% endif %}
</div>"""

_REFUSAL = '<div class="lk-warning" role="alert"><strong>No answer.</strong> {{ message }}</div>'

_ANSWER = """{% macro bar(share, dx) %}
<i class="lk-bar"><i style="width: {{ '%.1f' % (100 * share) }}%; background: {{ colours[dx] }}"></i></i>
{% endmacro %}
<div class="lk" aria-live="polite">
{% if answer.unlike %}
<div class="lk-warning" role="alert"><strong>Unlike the images that the models were trained on.</strong>
The models disagree about it more than about {{ percent(1 - unlike) }} of the validation images: do not trust what follows.
A false alarm comes for {{ percent(unlike) }} of images like those.</div>
{% endif %}
<div class="lk-row">
<figure class="lk-given"><img src="{{ uri(answer.preview, 'jpeg') }}" alt="The image as it was given"></figure>
<div class="lk-call">
<h2>The ensemble calls it <em>{{ names[call] }}</em></h2>
<table class="lk-ensemble">
<thead><tr><th scope="col">class</th><th scope="col">probability</th><th scope="col">calibrated</th></tr></thead>
{% for dx in classes %}
<tr{% if dx == call %} class="lk-top"{% endif %}><th scope="row">{{ names[dx] }} ({{ dx }}){{ bar(p[-1][loop.index0], dx) }}</th>
<td class="lk-p">{{ '%.2f' % p[-1][loop.index0] }}</td><td>{{ '%.2f' % answer.calibrated[loop.index0] }}</td></tr>
{% endfor %}
</table>
</div>
</div>

<h3>What it may be: the conformal set</h3>
<p class="lk-set">{% for dx in answer.chosen %}<span style="border-color: {{ colours[dx] }}">{{ names[dx] }} ({{ dx }})</span>
{% else %}<span>no class</span>{% endfor %}</p>
<p class="lk-faint">For {{ percent(1 - alpha) }} of images like those of validation the truth is in such a set, over all classes
together; of a rare class it may be less. Such sets held it for {{ shares('holds') }}.
{% if not answer.chosen %}It is empty where no class is probable enough.{% endif %}</p>

<h3>What each model says</h3>
<div class="lk-scroll" tabindex="0" role="region" aria-label="Probabilities by model"><table class="lk-members">
<thead><tr><th scope="col">model</th>
{% for dx in classes %}<th scope="col" title="{{ names[dx] }}">{{ dx }}</th>{% endfor %}</tr></thead>
{% for name in answer.table['model'] %}{% set row = p[loop.index0] %}
<tr><th scope="row">{{ label(name) }}</th>
{% for dx in classes %}{% set share = row[loop.index0] %}
<td{% if share == row.max() %} class="lk-top"{% endif %}>{{ '%.2f' % share }}{{ bar(share, dx) }}</td>
{% endfor %}</tr>
{% endfor %}
</table></div>
<p class="lk-faint">The ensemble is the plain mean. Calibrated: with the temperature {{ '%.2f' % reference.temperature }}, fitted on
validation; it changes no call.
{% if warns %}The warning that an image is unlike the training images comes for {{ shares('unlike') }}; it does not notice all that is.
{% else %}With one model alone there is no warning that an image is unlike the training images.{% endif %}</p>

<h3>Where the evidence lies (Grad-CAM)</h3>
<div class="lk-scroll" tabindex="0" role="region" aria-label="Heat maps"><img class="lk-panel" src="{{ uri(answer.panel, 'png') }}"
alt="The image as the models see it; for each model and the ensemble, the map of evidence for {{ names[call] }}; where they disagree"></div>
<p class="lk-faint">A map says where evidence for that class lies, not what it is, and not that it is right.</p>
</div>"""

CSS = """
.gradio-container { overflow: clip !important; } .lk-sticky { position: sticky; top: 0; z-index: 50; }
.lk-banner, .lk-warning { padding: .6rem .9rem; border: 1px solid #d9a400; border-radius: 6px; background: #fff7dc; color: #1c2430; }
.lk-banner { font-size: .9rem; line-height: 1.35; } .lk-warning { margin-bottom: 1rem; border: 2px solid #b3261e; background: #fdecea; }
.lk { color: var(--body-text-color); line-height: 1.45; }
.lk-faint { color: var(--body-text-color); opacity: .78; font-size: .9rem; }
.lk p { margin: .3rem 0; } .lk h2 { margin: 0 0 .6rem; font-size: 1.3rem; font-weight: 600; }
.lk em { font-style: normal; text-decoration: underline; }
.lk h3 { margin: 1.4rem 0 .4rem; font-size: 1.05rem; font-weight: 600; }
.lk-row { display: flex; flex-wrap: wrap; gap: 1.2rem; align-items: flex-start; }
.lk-given { flex: 1 1 160px; max-width: 280px; margin: 0; } .lk-given img { width: 100%; height: auto; border-radius: 6px; }
.lk-call { flex: 3 1 280px; min-width: 0; }
.lk table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .92rem; }
.lk th { font-weight: 400; text-align: left; } .lk thead th { opacity: .78; font-size: .85rem; }
.lk td, .lk th { padding: .15rem .6rem .15rem 0; vertical-align: top; } .lk .lk-top, .lk .lk-top th { font-weight: 700; }
.lk-bar, .lk-bar i { display: block; height: 6px; border-radius: 3px; } .lk-bar { background: #dfe3e8; }
.lk-ensemble { width: 100%; } .lk-ensemble th:first-child { width: 99%; padding-right: 1rem; }
.lk-ensemble td, .lk-ensemble thead th:nth-child(n+2) { text-align: right; padding-right: .3rem; }
.lk-members td { min-width: 3.4rem; } .lk-members th { white-space: nowrap; } .lk-members tbody tr:last-child > * { border-top: 1px solid; }
.lk-examples .grid-wrap { min-height: 0 !important; max-height: none !important; padding: 0 !important; }
.lk-examples .grid-container { grid-template-columns: repeat(auto-fill, minmax(84px, 1fr)) !important; padding: 0 !important; }
.lk-examples button.thumbnail-lg { width: 100% !important; height: auto !important; aspect-ratio: 1; }
.lk-set { display: flex; flex-wrap: wrap; gap: .5rem; } .lk-set span { padding: .1rem .7rem; border: 2px solid; border-radius: 1rem; }
.lk-scroll { overflow-x: auto; }
.lk-panel { min-width: 860px; width: 100%; max-width: none; height: auto; background: #fff; border-radius: 6px; }
"""

_TEMPLATES = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)


def banner(study: Study) -> str:
    """What stands above all, whatever is below."""
    return _TEMPLATES.from_string(_BANNER).render(note=caveat(study))


def refusal(message: str) -> str:
    """Why there is no answer."""
    return _TEMPLATES.from_string(_REFUSAL).render(message=message)


def render(answer: Answer, reference: Reference) -> str:
    """An answer in words, tables and pictures."""
    return _TEMPLATES.from_string(_ANSWER).render(
        answer=answer, reference=reference, p=probabilities(answer.table), call=answer.table["call"].iloc[-1],
        classes=CLASSES, names=CLASS_NAMES, colours=CLASS_COLOURS, label=model_label, uri=_uri, percent=_percent,
        alpha=ALPHA, unlike=UNLIKE, warns=len(answer.table) > 2, shares=lambda column: _shares(reference, column),
    )  # fmt: skip


def _shares(reference: Reference, column: str) -> str:
    """ "95 % of the validation images, 9 % of the internal test images and …" """
    said = [f"{_percent(share)} of the {SPLIT_LABELS.get(split, split)}"
            for split, share in zip(reference.splits["split"], reference.splits[column])]  # fmt: skip
    return f"{' and '.join(filter(None, [', '.join(said[:-1]), said[-1]]))} images of this study"


def _percent(share: float) -> str:
    return f"{share:.0%}".replace("%", "\N{NO-BREAK SPACE}%")


def _uri(picture: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{b64encode(picture).decode()}"
