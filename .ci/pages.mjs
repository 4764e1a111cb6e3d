// Opens every page of the site in Chromium; .ci/pages.py serves it and says where everything is.
// Prints one JSON line for each finding.
import { readFileSync } from 'node:fs';
import { launch } from './browser.mjs';

const { SHOTS, BASE, PAGES } = process.env;
const WIDTHS = [1280, 390], names = JSON.parse(readFileSync(PAGES));
const found = [];
const report = (page, what, detail) => { found.push(what); console.log(JSON.stringify({ page, what, detail })); };

const browser = await launch();
const page = await browser.newPage({ viewport: { width: WIDTHS[0], height: 900 } });
let now = '';
page.on('console', m => { if (m.type() === 'error') report(now, 'console error', m.text()); });
page.on('pageerror', e => report(now, 'page error', String(e)));
page.on('response', r => { if (r.status() >= 400) report(now, `answered ${r.status()}`, r.url()); });
await page.route('**/*', route => { // nothing leaves this machine, and what would is reported
  const url = new URL(route.request().url());
  if (!url.protocol.startsWith('http') || url.origin === new URL(BASE).origin) return route.continue();
  report(now, 'asks an outside host', url.origin + url.pathname);
  return route.abort();
});

// What a reader would meet: a page or a block wider than the window, text too pale, a picture without a description.
const wide = () => {
  const bad = [], limit = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth > limit + 1) {
    const e = [...document.querySelectorAll('main *')].find(e =>
      e.getBoundingClientRect().right > limit + 1 && !e.closest('pre, .sd-table, .cell-output-display'));
    const what = e ? e.tagName + '.' + e.className + ' ' + e.textContent.slice(0, 60) : '';
    bad.push(['page scrolls sideways', `${document.documentElement.scrollWidth} > ${limit}: ${what}`]);
  }
  for (const pre of document.querySelectorAll('main pre')) {
    if (pre.offsetParent && pre.scrollWidth > pre.clientWidth + 1) {
      const lines = pre.textContent.split('\n'), longest = lines.reduce((a, b) => a.length > b.length ? a : b, '');
      const what = pre.closest('.cell-output, .cell-output-display') ? 'output' : 'code';
      bad.push([`${what} scrolls sideways`, `${longest.length} columns: ${longest.trim().slice(0, 60)}`]);
    }
  }
  for (const box of document.querySelectorAll('main .sd-table, main table, main .cell-output-display')) {
    if (box.offsetParent && box.scrollWidth > box.clientWidth + 1 && !box.querySelector('pre'))
      bad.push(['table scrolls sideways', box.textContent.trim().slice(0, 60)]);
  }
  return bad;
};
const pale = () => {
  const rgb = s => (s.match(/[\d.]+/g) || [0, 0, 0, 0]).map(Number);
  const light = c => {
    const [r, g, b] = c.map(v => (v /= 255) <= .03928 ? v/12.92 : ((v + .055)/1.055)**2.4);
    return .2126*r + .7152*g + .0722*b;
  };
  const over = (top, under) => { const a = top[3] ?? 1; return [0, 1, 2].map(i => top[i]*a + under[i]*(1 - a)); };
  const ground = e => {
    const up = [];
    for (let x = e; x; x = x.parentElement) up.push(rgb(getComputedStyle(x).backgroundColor));
    return up.reverse().reduce((under, top) => over(top.length < 4 ? [...top, 1] : top, under), [255, 255, 255]);
  };
  const seen = new Map();
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const text = walk.currentNode.data.trim(), e = walk.currentNode.parentElement;
    if (!text || !e.offsetParent || e.closest('script, style, .visually-hidden, svg, math')) continue;
    const s = getComputedStyle(e);
    const key = [s.color, s.fontSize, s.fontWeight, e.tagName, e.className, e.parentElement.className].join('|');
    if (seen.has(key)) continue;
    let opacity = 1;
    for (let x = e; x; x = x.parentElement) opacity *= Number(getComputedStyle(x).opacity);
    if (opacity < .1) { continue; }
    const bg = ground(e), c = rgb(s.color), fg = over([c[0], c[1], c[2], (c[3] ?? 1)*opacity], bg);
    const [a, b] = [light(fg), light(bg)], ratio = (Math.max(a, b) + .05)/(Math.min(a, b) + .05);
    const size = parseFloat(s.fontSize), big = size >= 24 || size >= 18.6 && Number(s.fontWeight) >= 700;
    const where = `${e.tagName.toLowerCase()}.${e.className} in .${e.parentElement.className}`;
    seen.set(key, [ratio, big ? 3 : 4.5, `${where}: ${text.slice(0, 30)}`]);
  }
  return [...seen.values()].filter(([r, least]) => r < least - .01)
    .map(([r, least, what]) => [`contrast below ${least}`, `${r.toFixed(2)} ${what}`]);
};
// The search, as a reader uses it: results come, and can be read.
const search = async name => {
  await page.fill('.smalldocs-search input', 'mask');
  const came = await page.waitForSelector('.search-result', { timeout: 20000 }).catch(() => null);
  if (!came) report(name, 'search finds nothing', 'mask');
  for (const [what, detail] of await page.evaluate(pale)) report(name, `search, ${what}`, detail);
  const dark = await page.evaluate(() => matchMedia('(prefers-color-scheme: dark)').matches);
  await page.screenshot({ path: `${SHOTS}/search-${dark ? 'dark' : 'light'}.png` });
  await page.fill('.smalldocs-search input', '');
};
// A link to a folded entry opens it.
const entry = async name => {
  const id = await page.evaluate(() => document.querySelector('details.api')?.id);
  if (!id) return;
  await page.goto(`${BASE}${name}#${id}`, { waitUntil: 'load' });
  await page.waitForTimeout(300);
  const seen = await page.evaluate(id => {
    const e = document.getElementById(id), r = e.getBoundingClientRect();
    return e.open && r.top >= 0 && r.top < innerHeight;
  }, id);
  if (!seen) report(name, 'a link to an entry does not open it', id);
};
const blind = () => [...document.querySelectorAll('main img')].filter(i => !i.alt)
  .map(i => ['picture without alt text', i.src.slice(0, 60)]);

for (const name of names) {
  const file = name.replaceAll('/', '-').replace('.html', '');
  for (const mode of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme: mode });
    for (const width of mode === 'light' ? WIDTHS : WIDTHS.slice(0, 1)) {
      now = name;
      await page.setViewportSize({ width, height: 900 });
      if (width === WIDTHS[0]) await page.goto(BASE + name, { waitUntil: 'load' });
      await page.waitForTimeout(width === WIDTHS[0] ? 100 : 350); // a sidebar slides away
      const checks = mode === 'light' ? [wide, ...(width === WIDTHS[0] ? [pale, blind] : [])] : [pale];
      for (const check of checks) {
        for (const [what, detail] of await page.evaluate(check))
          report(name, `${what} (${width} px, ${mode})`, detail);
      }
      const shot = `${SHOTS}/${file}-${width}-${mode}`;
      await page.screenshot({ path: `${shot}.png` });
      if (process.env.FULL === name) await page.screenshot({ path: `${shot}-full.png`, fullPage: true });
    }
    if (name === 'index.html') { await page.setViewportSize({ width: WIDTHS[0], height: 900 }); await search(name); }
  }
  if (!name.includes('/')) await entry(name);
}
await browser.close();
process.exit(0);
