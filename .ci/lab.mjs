// Drives the widgets chapter, and one chapter that uses a widget, in Chromium;
// .ci/lab.py starts the server and says where everything is.
import { launch } from './browser.mjs';

const { LAB_PORT, LAB_TOKEN, SHOTS, PHOTO } = process.env;
const start = Date.now(), outside = new Set(), failed = [];
const say = (ok, ...what) => {
  const seconds = ((Date.now() - start)/1000).toFixed(0).padStart(5);
  console.log(`${seconds}s  ${ok ? 'ok    ' : 'FAILED'}  ${what.join(' ')}`);
  if (!ok) failed.push(what[0]);
};

const browser = await launch();
const page = await browser.newPage({ viewport: { width: 1280, height: 1000 } });
page.on('request', r => {
  const u = new URL(r.url());
  if (u.protocol.startsWith('http') && u.hostname !== '127.0.0.1') outside.add(u.origin + u.pathname);
});
page.on('pageerror', e => say(false, 'page error', String(e)));

async function open(name) { // and run all its cells
  const url = `http://127.0.0.1:${LAB_PORT}/lab/tree/${name}.ipynb?token=${LAB_TOKEN}&reset`;
  await page.goto(url, { waitUntil: 'domcontentloaded' });
  await page.waitForSelector('.jp-Notebook .jp-Cell', { timeout: 120000 });
  const select = page.locator('.jp-Dialog button:has-text("Select")'); // the kernel, asked for or not
  await select.waitFor({ timeout: 15000 }).then(() => select.click()).catch(() => {});
  await page.waitForSelector('#jp-main-statusbar >> text=/Idle/', { timeout: 120000 });
  await page.click('li.lm-MenuBar-item:has-text("Run")');
  await page.click('li.lm-Menu-item[data-command="runmenu:run-all"]');
  await page.waitForTimeout(3000);
  const idle = () => document.querySelector('.jp-Notebook-ExecutionIndicator')?.dataset.status === 'idle';
  await page.waitForFunction(idle, null, { timeout: 400000 });
  say(true, `all cells of ${name} ran`);
}

async function find(code) { // JupyterLab keeps only the cells near the screen: scroll until it is there
  const panel = page.locator('.jp-WindowedPanel-outer').first();
  await panel.evaluate(e => e.scrollTo(0, 0));
  for (let i = 0; i < 300; i++) {
    await page.waitForTimeout(150);
    const cell = page.locator('.jp-CodeCell', { hasText: code }).first();
    if (await cell.count()) { await cell.scrollIntoViewIfNeeded(); return cell; }
    await panel.evaluate(e => e.scrollBy(0, 500));
  }
  throw new Error(`no cell with ${code}`);
}
const picture = cell => cell.locator('img.widget-image').first().evaluate(async e => {
  let hash = 0;
  for (const x of new Uint8Array(await (await fetch(e.src)).arrayBuffer())) hash = (hash*31 + x) | 0;
  return hash;
});
const sentence = cell => cell.locator('.widget-html-content').last().innerText();
async function until(condition) {
  for (let i = 0; i < 100; i++) {
    if (await condition()) return true;
    await page.waitForTimeout(200);
  }
  return false;
}

async function move(code, label) { // one step with the arrow key: picture and sentence follow
  let cell = await find(code), seen = false;
  for (let i = 0; i < 6 && !seen; i++) { // pictures that arrive above push it off the screen
    seen = await cell.locator('img.widget-image').first().waitFor({ timeout: 10000 }).then(() => true, () => false);
    if (!seen) cell = await find(code);
  }
  const before = await picture(cell), said = await sentence(cell);
  await cell.locator('.widget-hslider', { hasText: label }).first().locator('.noUi-handle').focus();
  await page.keyboard.press('ArrowRight');
  const ok = await until(async () => await picture(cell) !== before && await sentence(cell) !== said);
  say(ok && seen, code, `${seen ? '' : 'no picture; '}${label}: "${said}" -> "${await sentence(cell)}"`);
  await cell.screenshot({ path: `${SHOTS}/${code.split(/[ (]/)[0]}.png` });
}

await open('metrics');
await move('explore_threshold(photos[0]', 'threshold');

await open('widgets');
const sliders = [['browser = browse(', 'photo'], ['thresholds = explore_threshold(', 'threshold'],
  ['painting = explore_loss(', 'painted background'], ['stepping = explore_convolution(', 'step'],
  ['schedules = explore_schedule(', 'warm-up'], ['leaders = explore_leaderboard(', 'seeds']];
for (const [code, label] of sliders) await move(code, label);

const first = await find('browser = browse('), shown = await picture(first);
await first.locator('input[type=checkbox]').first().focus();
await page.keyboard.press('Space');
say(await until(async () => await picture(first) !== shown), 'a box is ticked with the space bar');

const upload = await find('trying = try_photo(');
for (const file of [PHOTO, { name: '<b>.txt', mimeType: 'text/plain', buffer: Buffer.from('buy milk') }]) {
  const name = file.name ?? file.split(/[\\/]/).pop(), button = upload.locator('button:has-text("choose a photo")');
  const [chooser] = await Promise.all([page.waitForEvent('filechooser'), button.click()]);
  await chooser.setFiles(file);
  const answered = await until(async () => (await sentence(upload)).startsWith(name));
  say(answered, `upload of ${name}`, `"${await sentence(upload)}"`);
  await upload.screenshot({ path: `${SHOTS}/upload_${file.name ? 'refused' : 'shown'}.png` });
}

const watching = await find('watching = monitor(');
await watching.locator('button:has-text("refresh")').focus();
await page.keyboard.press('Enter');
const came = await until(async () => (await sentence(watching)).startsWith('epoch 8'));
say(came, 'monitor', `"${await sentence(watching)}"`);
say(!outside.size, 'nothing is asked of the outside', [...outside].join(' '));
await browser.close();
process.exit(failed.length ? 1 : 0);
