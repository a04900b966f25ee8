"""The template of the report. All that it shows is in it: it fetches nothing, and its policy lets it fetch nothing."""

PAGE = """<!DOCTYPE html>
<html lang="en-GB">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline';
 script-src 'sha256-{{ script_hash }}'">
<title>{{ study.title or study.name }}</title>
<style>{{ style }}</style>
</head>
<body>
<header>
<h1>{{ study.title or study.name }}</h1>
<p class="faint">Study <b>{{ study.name }}</b>, seed {{ study.seed }}. For research: not a medical device.</p>
{% if warning %}
<p class="warning"><b>{{ warning }}.</b></p>
{% endif %}
</header>
<nav aria-label="Contents">
<details open>
<summary>{{ study.name }}: contents</summary>
<ol>
<li><a href="#summary">Summary</a></li>
{% if card %}
<li><a href="#model-card">Model card</a></li>
{% endif %}
{% for section in sections %}
<li><a href="#step-{{ section.step.id }}">{{ section.step.prefix }} {{ section.title }}</a></li>
{% endfor %}
<li><a href="#made">How it was made</a></li>
</ol>
</details>
</nav>
<main>
{% macro table(content, class="") %}
<div class="scroll{{ class }}" tabindex="0">{{ content }}</div>
{% endmacro %}
{% macro pairs(caption, rows) %}
<figure><figcaption><b>{{ caption }}</b></figcaption><div class="scroll"><table><tbody>
{% for key, value in rows.items() %}
<tr><th scope="row">{{ key }}</th><td>{{ value }}</td></tr>
{% endfor %}
</tbody></table></div></figure>
{% endmacro %}
<section id="summary">
<h2>Summary</h2>
<p>{{ asked }}</p>
{% if board %}
<figure><figcaption><b>Leaderboard</b> · with 95 % intervals over lesions{% if card %} · in: internal test set; out: all external
images{% endif %}</figcaption>{{ table(board, " sorts") }}</figure>
{% endif %}
{% if findings %}
<h3>Findings</h3>
<div class="text">{{ findings }}</div>
{% endif %}
<p>{% if card %}<a href="#model-card">The model card</a> says what the models may be used for. {% endif %}
<a href="#made">How it was made</a> has versions, data, machine and energy.</p>
<p class="faint screen">This page is whole: it can be sent as it is. <span class="beside">Links with an arrow (↗) lead to files in the
run's folder, and work only there.</span>
{% if hidden %}
Galleries are not in it: they show lesions of people, and the images' licence goes with them
<span class="beside">({% for name, link in hidden.items() %}
<a href="{{ link }}">{{ name }}↗</a>{{ ", " if not loop.last }}
{% endfor %})</span>.
{% endif %}</p>
</section>
{% if card %}
<section id="model-card">
<h2>Model card</h2>
<p class="links save">As a file for Hugging Face: <a href="{{ card.file }}" download="README.md">README.md</a></p>
<div class="text">{{ card.content }}</div>
</section>
{% endif %}
{% for section in sections %}
<section id="step-{{ section.step.id }}">
<h2>{{ section.step.prefix }} {{ section.title }}</h2>
{{ section.question }}
{% if section.ran %}
<p class="links beside">The executed notebook: <a href="notebooks/{{ section.step.id }}.html">to read↗</a>,
<a href="../notebooks/{{ section.step.id }}.ipynb">as .ipynb↗</a></p>
{% else %}
<p class="links">This notebook has not been run.</p>
{% endif %}
{% for item in section["items"] %}
<figure id="{{ item.id }}" class="{{ item.kind }}{{ " wide" if item.content.wide }}">
<figcaption><b>{{ item.name }}</b>
{% for name, link in item.inside.items() %}
<span class="save"> · <a href="{{ link }}" download="{{ name }}">{{ name.rpartition(".")[2] | upper }}</a></span>
{% endfor %}
{% for name, link in item.beside.items() %}
<span class="beside"> · <a href="{{ link }}">{{ name }}↗</a></span>
{% endfor %}
{% if item.content.note %} · {{ item.content.note }}{% endif %}
{% if item.content.long %}<span class="paper"> · the first {{ paper }} rows</span>{% endif %}
</figcaption>
{% if item.kind == "picture" %}
<img src="{{ item.content.source }}" width="{{ item.content.width }}" height="{{ item.content.height }}"
 alt="{{ item.name | replace('_', ' ') }}">
{% elif item.kind == "table" %}
{{ table(item.content.html, " sorts") }}
{% else %}
<div class="text">{{ item.content }}</div>
{% endif %}
</figure>
{% endfor %}
</section>
{% endfor %}
<section id="made" class="made">
<h2>How it was made</h2>
<p>The last runs of its steps took {{ made.hours }} in all; a training that was found done is not counted again.
Energy {{ made.energy }}.</p>
<figure><figcaption><b>Steps</b></figcaption><div class="scroll sorts"><table>
<thead><tr><th>step</th><th class="number">seconds</th><th class="number">kWh</th><th>finished (UTC)</th></tr></thead>
<tbody>
{% for section in sections %}
<tr><td>{{ section.step.id }}</td>
<td class="number">{{ "%.1f" | format(section.run.seconds) if section.run else "–" }}</td>
<td class="number">{{ "%.2g" | format(section.run.kwh) if section.run.kwh else "–" }}</td>
<td>{{ section.run.finished[:16] | replace("T", " ") if section.run else "–" }}</td></tr>
{% endfor %}
</tbody></table></div></figure>
{% for caption, rows in made.environments %}
{{ pairs(caption, rows) }}
{% endfor %}
{{ pairs("Data and settings, as fingerprints", made.data) }}
{{ pairs("Settings", settings) }}
</section>
</main>
<script>{{ script }}</script>
</body>
</html>
"""
