"""The operator's login and status page. All of it is in the page: nothing is fetched from anywhere else."""

_STYLE = """
:root{color-scheme:light dark;--ink:#1c2430;--dim:#667;--line:#d8dde6;--ground:#f6f7f9;--card:#fff;--hue:#2563eb;--warm:#d97706;--bad:#dc2626}
@media(prefers-color-scheme:dark){:root{--ink:#e6e9ef;--dim:#98a2b3;--line:#2c3442;--ground:#12161d;--card:#1a202a;--hue:#6ea8fe;
--warm:#f5b454;--bad:#f87171}}
*{box-sizing:border-box}body{margin:0;background:var(--ground);color:var(--ink);font:15px/1.45 system-ui,sans-serif}
header{display:flex;gap:1em;align-items:baseline;padding:1em 1.5em;border-bottom:1px solid var(--line)}h1{font-size:1.15em;margin:0}
header span{color:var(--dim)}main{display:grid;gap:1em;padding:1.5em;grid-template-columns:repeat(auto-fill,minmax(20em,1fr))}
section{background:var(--card);border:1px solid var(--line);border-radius:.6em;padding:.9em 1.1em;min-width:0}
h2{font-size:.8em;font-weight:600;color:var(--dim);margin:0 0 .4em}.big{font-size:1.7em;font-weight:600;font-variant-numeric:tabular-nums}
.unit{font-size:.55em;color:var(--dim);font-weight:400}canvas{width:100%;height:70px;display:block;margin-top:.4em}
table{width:100%;border-collapse:collapse;font-variant-numeric:tabular-nums}td{padding:.15em 0;border-top:1px solid var(--line)}
td:last-child{text-align:right}ol{list-style:none;margin:0;padding:0}li{padding:.15em 0;border-top:1px solid var(--line)}
li time{color:var(--dim);margin-right:.8em}.off{color:var(--bad)}
form{max-width:22em;margin:18vh auto;display:grid;gap:.8em}input,button{font:inherit;padding:.6em .8em;border-radius:.4em;border:1px solid var(--line)}
button{background:var(--hue);color:#fff;border:0}[role=alert]{color:var(--bad);margin:0}
"""

LOGIN = f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>midair: log in</title>
<style>{_STYLE}</style></head><body>
<form method="post" action="./login"><h1>The operator's page</h1>{{said}}
<input type="hidden" name="username" value="operator" autocomplete="username">
<label for="p">Password</label><input id="p" type="password" name="password" autocomplete="current-password" autofocus required>
<button>Log in</button></form></body></html>
"""

_SCRIPT = """
const $ = id => document.getElementById(id), past = {rate: [], lag: [], memory: [], connections: []}, kept = 120;
let last = null;
const css = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const size = n => n < 1e3 ? n + ' B' : n < 1e6 ? (n / 1e3).toFixed(1) + ' kB' : n < 1e9 ? (n / 1e6).toFixed(1) + ' MB' : (n / 1e9).toFixed(2) + ' GB';
const clock = s => new Date(s * 1000).toLocaleTimeString();
function push(name, value) { past[name].push(value); if (past[name].length > kept) past[name].shift(); }
function fit(canvas) {
  const ratio = devicePixelRatio || 1, box = canvas.getBoundingClientRect();
  canvas.width = box.width * ratio; canvas.height = box.height * ratio;
  const pen = canvas.getContext('2d'); pen.scale(ratio, ratio);
  return [pen, box.width, box.height];
}
function plot(name, colour) {
  const [pen, width, height] = fit($(name + '-plot')), values = past[name];
  const top = Math.max(...values, 1e-9) * 1.15, step = width / (kept - 1), from = width - (values.length - 1) * step;
  pen.beginPath();
  values.forEach((v, i) => pen[i ? 'lineTo' : 'moveTo'](from + i * step, height - v / top * (height - 2) - 1));
  pen.strokeStyle = css(colour); pen.lineWidth = 1.6; pen.lineJoin = 'round'; pen.stroke();
  pen.lineTo(width, height); pen.lineTo(from, height); pen.closePath(); pen.globalAlpha = .12; pen.fillStyle = css(colour); pen.fill();
}
const bounds = [.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, '1 s', '2.5', '5', '10', 'more'];
function bars(counts) {
  const [pen, width, height] = fit($('latency-plot')), top = Math.max(...counts, 1), step = width / counts.length;
  pen.fillStyle = css('--hue'); pen.font = '10px system-ui';
  counts.forEach((n, i) => { const h = n ? Math.max(2, n / top * (height - 16)) : 0; pen.fillRect(i * step + 1, height - 13 - h, step - 2, h); });
  pen.fillStyle = css('--dim');
  counts.forEach((n, i) => { if (i % 2 == 0) pen.fillText(bounds[i], Math.min(i * step + 1, width - pen.measureText(bounds[i]).width), height - 2); });
}
function rows(id, pairs) {
  $(id).replaceChildren(...pairs.map(([a, b]) => {
    const row = document.createElement('tr');
    for (const text of [a, b]) { const cell = document.createElement('td'); cell.textContent = text; row.append(cell); }
    return row;
  }));
}
function show(now) {
  const seconds = last ? Math.max(now.time - last.time, .001) : 1, rate = last ? (now.requests - last.requests) / seconds : 0;
  last = now;
  push('rate', rate); push('lag', now.lag_ms); push('memory', now.memory / 1e6); push('connections', now.connections);
  $('name').textContent = now.name; $('said').textContent = 'live, ' + clock(now.time); $('said').className = '';
  $('rate').textContent = rate.toFixed(rate < 10 ? 1 : 0); $('total').textContent = now.requests.toLocaleString() + ' in all, ' + now.active + ' now, ' + size(now.bytes);
  $('lag').textContent = now.lag_ms.toFixed(1); $('memory').textContent = (now.memory / 1e6).toFixed(1); $('connections').textContent = now.connections;
  $('sockets').textContent = now.websockets + ' websockets, ' + now.dropped + ' clients dropped';
  rows('statuses', Object.entries(now.statuses).map(([a, b]) => [a, b.toLocaleString()]));
  rows('services', Object.entries(now.services).map(([a, b]) => [a, b.join(', ')]));
  $('saved').textContent = now.saved ? 'generation ' + now.generation + ', ' + clock(now.saved) : 'not saved in this run';
  $('happened').replaceChildren(...now.happened.slice().reverse().map(event => {
    const item = document.createElement('li'), at = document.createElement('time');
    at.textContent = clock(event.at); item.append(at, event.what); return item;
  }));
  plot('rate', '--hue'); plot('lag', '--warm'); plot('memory', '--hue'); plot('connections', '--hue'); bars(now.latency);
}
const source = new EventSource('./events');
source.onmessage = event => show(JSON.parse(event.data));
source.onerror = () => { $('said').textContent = 'no connection; trying again'; $('said').className = 'off'; };
"""

STATUS = f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>midair: status</title>
<style>{_STYLE}</style></head><body>
<header><h1 id="name">midair</h1><span id="said">connecting</span></header>
<main>
<section><h2>Requests a second</h2><div class="big" id="rate">0</div><span id="total"></span><canvas id="rate-plot"></canvas></section>
<section><h2>Latency, milliseconds</h2><canvas id="latency-plot" style="height:130px"></canvas></section>
<section><h2>Answers by status</h2><table><tbody id="statuses"></tbody></table></section>
<section><h2>Connections</h2><div class="big" id="connections">0</div><span id="sockets"></span><canvas id="connections-plot"></canvas></section>
<section><h2>Loop lag, the most in a minute</h2><div class="big"><span id="lag">0</span> <span class="unit">ms</span></div><canvas id="lag-plot"></canvas></section>
<section><h2>Memory</h2><div class="big"><span id="memory">0</span> <span class="unit">MB</span></div><canvas id="memory-plot"></canvas></section>
<section><h2>Services</h2><table><tbody id="services"></tbody></table></section>
<section><h2>Edits and snapshots</h2><div id="saved"></div><ol id="happened"></ol></section>
</main><script>{_SCRIPT}</script></body></html>
"""
