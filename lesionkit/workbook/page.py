"""The template of the report, as one piece: nothing is fetched, nothing is run."""

PAGE = """<!DOCTYPE html>
<html lang="en-GB">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ study.title or study.name }}</title>
<style>
:root { color-scheme: light; --ink: #1c2430; --faint: #5c6675; --line: #d9dee6; --soft: #f5f7fa; --link: #0b5cad; }
* { box-sizing: border-box; }
html { scroll-padding-top: 1rem; }
body { margin: 0; color: var(--ink); background: #fff; font: 16px/1.5 system-ui, "Segoe UI", Helvetica, Arial, sans-serif; }
a { color: var(--link); }
nav { padding: 1.2rem 1.4rem; background: var(--soft); border-bottom: 1px solid var(--line); font-size: .9rem; }
nav ol { margin: .4rem 0 0; padding: 0; list-style: none; }
nav li { padding: .12rem 0; overflow-wrap: anywhere; }
nav a { text-decoration: none; }
main { min-width: 0; max-width: 76rem; padding: 1.4rem; }
h1 { margin: 0 0 .3rem; font-size: 1.7rem; line-height: 1.2; }
h2 { margin: 2.6rem 0 .2rem; padding-top: .8rem; border-top: 2px solid var(--line); font-size: 1.3rem; overflow-wrap: anywhere; }
.faint, figcaption, .links { color: var(--faint); font-size: .88rem; }
.warning { padding: .6rem .9rem; border: 1px solid #d9a400; border-radius: 4px; background: #fff7dc; }
figure { margin: 1.4rem 0; }
figure img { display: block; max-width: 100%; height: auto; border: 1px solid var(--line); }
figcaption { margin-bottom: .35rem; overflow-wrap: anywhere; }
figcaption b { color: var(--ink); font-weight: 600; }
.scroll { max-width: 100%; max-height: 36rem; overflow: auto; }
.made .scroll { max-height: none; }
table { border-collapse: collapse; font-size: .9rem; }
th, td { padding: .25rem .7rem; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }
th { position: sticky; top: 0; background: #fff; border-bottom: 2px solid var(--ink); }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.text { max-width: 46rem; overflow-wrap: anywhere; }
.text h1, .text h2 { margin: 1.2rem 0 .3rem; padding: 0; border: 0; font-size: 1.1rem; }
.text h1 { font-size: 1.25rem; }
.text table { display: block; max-width: 100%; overflow-x: auto; }
@media (min-width: 62rem) {
  body { display: grid; grid-template-columns: 19rem minmax(0, 1fr); }
  nav { position: sticky; top: 0; height: 100vh; overflow: auto; border-right: 1px solid var(--line); border-bottom: 0; }
  main { padding: 2rem 2.6rem; }
}
@media print { body { display: block; } nav { position: static; height: auto; } .scroll { max-height: none; overflow: visible; } }
</style>
</head>
<body>
<nav aria-label="Contents">
<b>{{ study.name }}</b>
<ol>
{% for section in sections %}
<li><a href="#{{ section.step.id }}">{{ section.step.prefix }} {{ section.title }}</a></li>
{% endfor %}
<li><a href="#made">How it was made</a></li>
</ol>
</nav>
<main>
<h1>{{ study.title or study.name }}</h1>
<p class="faint">Study <b>{{ study.name }}</b>, seed {{ study.seed }}. For research: not a medical device.</p>
{% if warning %}
<p class="warning"><b>{{ warning }}.</b></p>
{% endif %}
{% for section in sections %}
<section id="{{ section.step.id }}">
<h2>{{ section.step.prefix }} {{ section.title }}</h2>
{% if section.ran %}
<p class="links">The executed notebook: <a href="notebooks/{{ section.step.id }}.html">to read</a>,
<a href="../notebooks/{{ section.step.id }}.ipynb">as .ipynb</a></p>
{% else %}
<p class="links">This notebook has not been run.</p>
{% endif %}
{% for item in section["items"] %}
<figure id="{{ item.id }}">
<figcaption><b>{{ item.id }}</b>
{% for name, link in item.files.items() %} · <a href="{{ link }}">{{ name }}</a>{% endfor %}
{% if item.note %} · {{ item.note }}{% endif %}
</figcaption>
{% if item.kind == "figure" %}
<a href="{{ item.content }}"><img src="{{ item.content }}" alt="{{ item.id | replace('_', ' ') }}" loading="lazy"></a>
{% elif item.kind == "table" %}
<div class="scroll" tabindex="0">{{ item.content }}</div>
{% else %}
<div class="text">{{ item.content }}</div>
{% endif %}
</figure>
{% endfor %}
</section>
{% endfor %}
<section id="made" class="made">
<h2>How it was made</h2>
<figure><figcaption><b>Steps</b></figcaption><div class="scroll"><table>
<thead><tr><th>step</th><th class="number">seconds</th><th>finished</th></tr></thead>
<tbody>
{% for section in sections %}
<tr><td>{{ section.step.id }}</td>
<td class="number">{{ "%.1f" | format(section.run.seconds) if section.run else "–" }}</td><td>{{ section.run.finished or "–" }}</td></tr>
{% endfor %}
</tbody></table></div></figure>
{% for caption, table in (("Versions", made), ("Settings", settings)) %}
<figure><figcaption><b>{{ caption }}</b></figcaption><div class="scroll"><table><tbody>
{% for key, value in table.items() %}
<tr><td>{{ key }}</td><td>{{ value }}</td></tr>
{% endfor %}
</tbody></table></div></figure>
{% endfor %}
</section>
</main>
</body>
</html>
"""
