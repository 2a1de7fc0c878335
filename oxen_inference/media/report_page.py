"""The frame of the page that `report` writes: its style, its filters, its policy."""

from __future__ import annotations

from string import Template

PAGE = Template("""\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src 'self' data: file:; media-src 'self' file:; style-src 'nonce-$nonce'; script-src 'nonce-$nonce'; base-uri 'none'; form-action 'none'">
<title>$title</title>
<style nonce="$nonce">
:root { --paper: #fbfaf8; --card: #ffffff; --ink: #1d1b19; --soft: #6a645d; --rule: #e2ded8;
  --accent: #a84f26; --good: #2c6e43; --bad: #a3262a; }
@media (prefers-color-scheme: dark) { :root { --paper: #171615; --card: #211f1d; --ink: #ece8e3;
  --soft: #a39c93; --rule: #38342f; --accent: #e0875a; --good: #7cc295; --bad: #ee8a86; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 15px/1.45 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main, header { max-width: 1240px; margin: 0 auto; padding: 0 20px; }
header { padding-top: 32px; }
h1 { font-size: 18px; margin: 0; font-weight: 600; }
.total { font-size: 44px; font-weight: 650; letter-spacing: -.02em; margin: 4px 0 0;
  font-variant-numeric: tabular-nums; }
.soft { color: var(--soft); margin: 2px 0 0; }
.overview { display: grid; grid-template-columns: minmax(0, 3fr) minmax(0, 2fr); gap: 32px; margin: 24px 0; }
figure { margin: 0; } figcaption, caption { text-align: left; color: var(--soft); padding-bottom: 6px; }
svg { width: 100%; height: auto; } svg text { fill: var(--soft); font-size: 12px; }
.axis { stroke: var(--rule); } .line { fill: none; stroke: var(--accent); stroke-width: 2; }
.area { fill: var(--accent); opacity: .12; }
table { border-collapse: collapse; width: 100%; margin-bottom: 16px; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: 4px 0 4px 12px; border-top: 1px solid var(--rule); font-weight: 400; }
th:first-child { text-align: left; padding-left: 0; overflow-wrap: anywhere; }
thead th { border: 0; color: var(--soft); }
.filters { position: sticky; top: 0; background: var(--paper); display: flex; flex-wrap: wrap; gap: 8px;
  padding: 12px 0; border-bottom: 1px solid var(--rule); z-index: 1; align-items: center; }
input, select { font: inherit; color: inherit; background: var(--card); border: 1px solid var(--rule);
  border-radius: 6px; padding: 7px 10px; min-height: 38px; min-width: 0; }
input { flex: 1 1 220px; }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 1px; }
.gallery { display: grid; grid-template-columns: repeat(auto-fill, minmax(230px, 1fr)); gap: 16px;
  padding: 16px 0 48px; align-items: start; }
article { background: var(--card); border: 1px solid var(--rule); border-radius: 8px; overflow: hidden; }
article[hidden] { display: none; }
article > div:last-child { padding: 10px 12px 12px; }
article p { margin: 0 0 4px; overflow-wrap: anywhere; color: var(--soft); font-size: 13px; }
article .prompt { color: var(--ink); font-size: 15px; display: -webkit-box; -webkit-line-clamp: 4;
  -webkit-box-orient: vertical; overflow: hidden; }
article .cost { color: var(--ink); font-variant-numeric: tabular-nums; }
article .error { color: var(--bad); } article .details { font-size: 12px; }
.status { float: right; } .good { color: var(--good); } .bad { color: var(--bad); } .open { color: var(--soft); }
img, video { display: block; width: 100%; height: auto; background: var(--rule); }
audio { width: 100%; display: block; }
.none { padding: 32px 12px; text-align: center; color: var(--soft); background: var(--rule);
  overflow-wrap: anywhere; }
@media (max-width: 760px) { .overview { grid-template-columns: minmax(0, 1fr); gap: 16px; }
  main, header { padding-left: 14px; padding-right: 14px; } .total { font-size: 36px; }
  .gallery { grid-template-columns: repeat(auto-fill, minmax(150px, 1fr)); gap: 10px; }
  .filters select { flex: 1 1 120px; } }
</style>
</head>
<body>
<header>
<h1>$title</h1>
<p class="total" data-total="$exact">$total</p>
<p class="soft">$facts Written $written.</p>
</header>
<main>
<section class="overview">
<div>$chart</div>
<div>
<table><caption>By model</caption><thead><tr><th></th><th>results</th><th>failed</th><th>cost</th></tr></thead><tbody>$by_model</tbody></table>
<table><caption>By day</caption><thead><tr><th></th><th>results</th><th>failed</th><th>cost</th></tr></thead><tbody>$by_day</tbody></table>
</div>
</section>
<div class="filters">
<input id="text" type="search" placeholder="Search prompts, keys and ids" aria-label="Search">
<select id="model" aria-label="Model"><option value="">All models</option>$models</select>
<select id="status" aria-label="Status"><option value="">All statuses</option>$statuses</select>
<span id="count" class="soft" role="status"></span>
</div>
<section class="gallery">
$cards
</section>
</main>
<script nonce="$nonce">
const cards = [...document.querySelectorAll("article")];
const field = (id) => document.getElementById(id);
function filter() {
  const text = field("text").value.toLowerCase();
  let shown = 0;
  for (const card of cards) {
    const fits = card.dataset.text.includes(text)
      && (!field("model").value || card.dataset.model === field("model").value)
      && (!field("status").value || card.dataset.status === field("status").value);
    card.hidden = !fits;
    shown += fits;
  }
  field("count").textContent = shown === cards.length ? "" : shown + " of " + cards.length;
}
for (const id of ["text", "model", "status"]) field(id).addEventListener("input", filter);
</script>
</body>
</html>
""")
"""``$name`` stands for text that is escaped already."""
