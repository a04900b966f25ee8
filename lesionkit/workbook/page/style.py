"""How the report looks: in wide and narrow windows, in light and dark, and on paper."""

from lesionkit.workbook.page.tables import PAPER

STYLE = """
:root { color-scheme: light dark; --paper: #fff; --ink: #1c2430; --faint: #5c6675; --line: #d9dee6; --soft: #f5f7fa; --link: #0b5cad;
  --warn: #fff7dc; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #14181e; --ink: #e3e7ed; --faint: #9aa5b4; --line: #343c47; --soft: #1c222a; --link: #7cb7f2; --warn: #3a3212; }
}
* { box-sizing: border-box; }
html { scroll-padding-top: 1rem; }
body { margin: 0; color: var(--ink); background: var(--paper); font: 16px/1.5 system-ui, "Segoe UI", Helvetica, Arial, sans-serif; }
a { color: var(--link); }
a:focus-visible, button:focus-visible, .scroll:focus-visible { outline: 2px solid var(--link); outline-offset: 2px; }
nav { padding: .8rem 1.4rem; background: var(--soft); border: solid var(--line); border-width: 1px 0; font-size: .9rem; }
nav summary { font-weight: 600; cursor: pointer; overflow-wrap: anywhere; }
nav ol { margin: .4rem 0 0; padding: 0; list-style: none; }
nav li { padding: .12rem 0; overflow-wrap: anywhere; }
nav a { text-decoration: none; }
header, main { min-width: 0; max-width: 76rem; padding: 0 1.4rem; }
header { padding-top: 1.4rem; }
main { padding-bottom: 3rem; }
h1 { margin: 0 0 .3rem; font-size: 1.7rem; line-height: 1.2; overflow-wrap: anywhere; }
h2 { margin: 2.6rem 0 .2rem; padding-top: .8rem; border-top: 2px solid var(--line); font-size: 1.3rem; overflow-wrap: anywhere; }
#summary h2 { margin-top: 1.2rem; }
h3 { margin: 1.4rem 0 .3rem; font-size: 1.1rem; }
p { max-width: 52rem; overflow-wrap: anywhere; }
.faint, figcaption, .links { color: var(--faint); font-size: .88rem; }
.warning { padding: .6rem .9rem; border: 1px solid #d9a400; border-radius: 4px; background: var(--warn); }
figure { margin: 1.4rem 0; }
figure img { display: block; max-width: 100%; height: auto; background: #fff; border: 1px solid var(--line); }
figcaption { margin-bottom: .35rem; overflow-wrap: anywhere; }
figcaption b { color: var(--ink); font-weight: 600; }
button { font: inherit; color: inherit; background: none; border: 0; padding: 0; cursor: pointer; }
button.enlarge { display: block; max-width: 100%; cursor: zoom-in; }
.scroll { max-width: 100%; max-height: 36rem; overflow: auto; }
#made .scroll { max-height: none; }
table { border-collapse: collapse; font-size: .9rem; }
th, td { padding: .25rem .7rem; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }
thead th { position: sticky; top: 0; background: var(--paper); box-shadow: inset 0 -2px var(--ink); vertical-align: bottom; }
tbody th { font-weight: 400; color: var(--faint); white-space: nowrap; }
th button { font-weight: inherit; text-align: inherit; }
th button::after { content: " ↕"; color: var(--faint); }
th[aria-sort=ascending] button::after { content: " ↑"; color: inherit; }
th[aria-sort=descending] button::after { content: " ↓"; color: inherit; }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.paper { display: none; }
th.number, #summary .number { white-space: normal; }
#summary th, #summary td { padding: .25rem .4rem; }
small { color: var(--faint); font-size: .85em; white-space: nowrap; }
.sorts tr > :first-child { position: sticky; left: 0; background: var(--paper); }
.sorts thead tr > :first-child { z-index: 1; }
.text { max-width: 52rem; overflow-wrap: anywhere; }
.text h3, .text h4 { margin: 1.2rem 0 .3rem; font-size: 1.1rem; }
.text h3 { font-size: 1.25rem; }
.text table { display: block; max-width: 100%; overflow-x: auto; }
dialog { width: 100vw; height: 100vh; max-width: none; max-height: none; margin: 0; padding: .6rem; border: 0;
  background: var(--paper); color: inherit; }
dialog[open] { display: flex; flex-direction: column; gap: .5rem; }
dialog p { display: flex; flex-wrap: wrap; gap: .4rem .6rem; max-width: none; margin: 0; align-items: baseline; }
dialog b { flex: 1 1 12rem; overflow-wrap: anywhere; }
dialog p button { padding: .2rem .7rem; border: 1px solid var(--line); border-radius: 4px; background: var(--soft); }
dialog div { flex: 1; min-height: 0; overflow: auto; }
dialog img { display: block; width: 100%; height: 100%; object-fit: contain; cursor: zoom-in; }
dialog .natural img { width: auto; height: auto; background: #fff; cursor: zoom-out; }
.away .beside { display: none; }
@media (min-width: 62rem) {
  body { display: grid; grid-template: "nav header" auto "nav main" 1fr / 19rem minmax(0, 1fr); }
  nav { grid-area: nav; position: sticky; top: 0; height: 100vh; padding-top: 1.2rem; overflow: auto; border-width: 0 1px 0 0; }
  header, main { padding-left: 2.6rem; padding-right: 2.6rem; }
  header { padding-top: 2rem; }
}
@page { size: A4; margin: 15mm 14mm; }
@page wide { size: A4 landscape; margin: 12mm; }
@media print {
  :root { color-scheme: light; --paper: #fff; --ink: #000; --faint: #444; --line: #ccc; --soft: #fff; --link: #0b4a8a; --warn: #fff; }
  body { display: block; font-size: 10pt; }
  nav { position: static; height: auto; overflow: visible; padding: 0 0 .6rem; border: 0; }
  nav summary { list-style: none; }
  nav ol { columns: 2; }
  header, main { max-width: none; padding: 0; }
  p, .text { max-width: none; }
  h2, h3, h4, figcaption { break-after: avoid; }
  section { break-before: page; }
  #summary { break-before: auto; }
  .scroll { max-height: none; overflow: visible; }
  .beside, .save, .screen, dialog, th button::after { display: none; }
  .paper { display: inline; }
  figure.picture { break-inside: avoid; }
  figure img { max-height: 112mm; width: auto; max-width: 100%; }
  table { font-size: 7.5pt; }
  th, td { padding: .12rem .35rem; overflow-wrap: break-word; }
  thead { break-inside: avoid; }
  th button { display: contents; }  /* a button would not be repeated on the next page */
  thead th, .sorts tr > :first-child { position: static; }
  thead th { box-shadow: none; border-bottom: 1.5px solid var(--ink); }
  tbody tr:nth-child(n+BEYOND) { display: none; }
  tr { break-inside: avoid; }
  .wide { page: wide; }
  .wide table { font-size: 6pt; }
  .number, .wide small { white-space: normal; }
}
""".replace("BEYOND", str(PAPER + 1))
