// A browser as a judge of the page: Chromium through Playwright, and axe.
//
// Reads JSON objects from standard input, one a line, and answers each with one line: `{"ok": …}`, or `{"error": …}`. `do` is `list`,
// which names the checks, or the name of a check, which uses the servers of the command: `plain` has an empty knowledge base, `filled`
// one with documents, `written` one with a language model that cites, `doubted` one with a model that cites nothing, `several` two
// knowledge bases, `locked` wants the token `token`. Whatever a check does: no dialog opens, nothing is asked of another server, and the
// console stays without errors.

import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';
import { chromium } from 'playwright-core';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const PLACES = ['/usr/bin/chromium-headless-shell', '/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];
const QUESTION = 'Which file does the node keep its identity in?';
const KEYS =
  '# Keys\n\nThe node keeps its identity in the file identity.key, readable by its owner alone.\nLosing it means a new PeerId.\n';

const file = (name, text) => ({ name, mimeType: 'application/octet-stream', buffer: Buffer.from(text) });

/** A page that remembers what must not happen. */
async function opened(browser, address, { path = '/', width = 1100, height = 800, scheme = 'light', allowed = () => false } = {}) {
  const context = await browser.newContext({
    viewport: { width, height }, colorScheme: scheme, locale: 'en-GB', reducedMotion: 'reduce',
  });
  const page = await context.newPage();
  page.setDefaultTimeout(30_000);
  const wrong = [];
  page.on('dialog', (dialog) => {
    wrong.push(`a dialog: ${dialog.message()}`);
    dialog.dismiss();
  });
  page.on('pageerror', (error) => wrong.push(`an error: ${error}`));
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type()) && !allowed(message.text())) wrong.push(`the console: ${message.text()}`);
  });
  page.on('popup', () => wrong.push('a window'));
  page.on('request', (request) => {
    if (!request.url().startsWith(`${address}/`)) wrong.push(`a request to ${request.url()}`);
  });
  await page.goto(`${address}${path}`);
  return { page, wrong, close: () => context.close() };
}

/** Runs a check on a page, and looks at what must not have happened. */
async function on(browser, address, options, work) {
  const { page, wrong, close } = await opened(browser, address, options);
  try {
    await work(page);
    assert.deepEqual(wrong, []);
  } finally {
    await close();
  }
}

const tab = (page, name) => page.getByRole('tab', { name, exact: true });

async function brought(page, files) {
  await tab(page, 'Documents').click();
  await page.locator('#files').setInputFiles(files);
  for (const { name } of files) {
    const line = page.locator('#uploads li', { hasText: name }).first();
    await line.getByText(/^(taken|was there already|not taken)/).waitFor();
  }
}

async function asked(page, question) {
  await tab(page, 'Ask').click();
  await page.getByLabel('Your question').fill(question);
  await page.getByLabel('Your question').press('Enter');
  await page.locator('#send').waitFor({ state: 'visible' });
  return page.locator('.turn').last();
}

const focused = (page) => page.evaluate(() => document.activeElement?.textContent.trim() ?? '');

async function violations(page) {
  // Not what is on its way: a panel that slides in has other colours for a moment.
  await page.evaluate(AXE);
  const { violations } = await page.evaluate(() => globalThis.axe.run(document));
  return violations
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .map(({ id, nodes }) => `${id}: ${nodes.map((node) => `${node.html} ${node.failureSummary}`).join(' | ')}`);
}

const checks = {
  async documents_are_brought_listed_and_deleted(browser, { plain }) {
    await on(browser, plain, {}, async (page) => {
      await page.getByText('There are no documents yet. Bring some').waitFor();
      await brought(page, [file('keys.md', KEYS), file('cooking.txt', 'Boil the potatoes for twenty minutes. Add salt.\n')]);
      assert.match(await page.locator('#uploads').innerText(), /taken, with 1 passage/);
      const rows = page.locator('tbody tr');
      assert.equal(await rows.count(), 2);
      assert.match(await rows.last().innerText(), /keys\.md\s+markdown\s+121 B\s+1/);
      await brought(page, [file('keys.md', KEYS)]);
      assert.match(await page.locator('#uploads li').first().innerText(), /was there already/);

      await page.getByRole('button', { name: 'Delete keys.md' }).click();
      assert.equal(await focused(page), 'Keep it');
      await page.getByRole('button', { name: 'Keep it' }).click();
      assert.equal(await page.evaluate(() => document.activeElement.getAttribute('aria-label')), 'Delete keys.md');
      assert.equal(await rows.count(), 2);
      await page.getByRole('button', { name: 'Delete keys.md' }).click();
      await page.getByRole('button', { name: 'Delete', exact: true }).click();
      await page.getByRole('status').getByText('keys.md was deleted').waitFor({ state: 'attached' });
      await page.waitForFunction(() => document.querySelectorAll('tbody tr').length === 1);
      assert.equal(await page.evaluate(() => document.activeElement.getAttribute('aria-label')), 'Documents');
    });
  },

  async files_can_be_dropped(browser, { plain }) {
    await on(browser, plain, {}, async (page) => {
      await tab(page, 'Documents').click();
      const data = await page.evaluateHandle((text) => {
        const transfer = new DataTransfer();
        transfer.items.add(new File([text], 'dropped.md'));
        return transfer;
      }, KEYS);
      await page.dispatchEvent('#drop', 'dragover', { dataTransfer: data });
      assert.ok(await page.locator('#drop.over').isVisible());
      await page.dispatchEvent('#drop', 'drop', { dataTransfer: data });
      await page.locator('#uploads').getByText('taken, with 1 passage').waitFor();
      assert.equal(await page.locator('#drop.over').count(), 0);
    });
  },

  async an_upload_shows_how_far_it_is_and_then_that_it_is_read(browser, { plain }) {
    await on(browser, plain, {}, async (page) => {
      await tab(page, 'Documents').click();
      await page.evaluate(() => {
        globalThis.seen = [];
        const look = () => globalThis.seen.push(document.querySelector('#uploads .hint')?.textContent);
        new MutationObserver(look).observe(document.querySelector('#uploads'), { subtree: true, childList: true, characterData: true });
      });
      const words = Array.from({ length: 300_000 }, (_, index) => `word${index % 977}`).join(' ');
      await brought(page, [file('long.txt', words)]);
      const seen = await page.evaluate(() => globalThis.seen);
      assert.ok(seen.some((text) => /^uploading, \d+ %$/.test(text)) || seen.includes('reading'), String(seen));
      assert.ok(seen.some((text) => /^reading, [\d,]+ of [\d,]+ passages$/.test(text)), String(seen));
      assert.match(seen.at(-1), /^taken, with [\d,]+ passages$/);
    });
  },

  async a_file_that_cannot_be_taken_says_why(browser, { plain }) {
    const allowed = (text) => text.includes('415');
    await on(browser, plain, { allowed }, async (page) => {
      await brought(page, [file('program.exe', 'MZ\0'), file('huge.txt', Buffer.alloc(3_000_000, 'a '))]);
      const uploads = await page.locator('#uploads').innerText();
      assert.match(uploads, /program\.exe\s+not taken: /);
      assert.match(uploads, /huge\.txt\s+not taken: it has 3\.0 MB, and this server takes at most 2\.5 MB/);
      assert.ok(await page.getByText('There are no documents yet.', { exact: true }).isVisible());
    });
  },

  async a_citation_opens_the_passage_in_its_document(browser, { filled }) {
    await on(browser, filled, {}, async (page) => {
      const turn = await asked(page, QUESTION);
      assert.match(await turn.locator('.answer').innerText(), /identity\.key/);
      assert.match(await turn.locator('.about').innerText(), /support [01]\.\d\d of 1\s+quoted from the documents/);
      const cite = turn.locator('.cite').first();
      assert.match(await cite.getAttribute('aria-label'), /^Source 1: keys\.md · Keys$/);
      await cite.click();
      const panel = page.getByRole('dialog', { name: 'keys.md' });
      const mark = panel.locator('mark');
      await mark.waitFor();
      assert.equal(await mark.innerText(), 'The node keeps its identity in the file identity.key, readable by its owner alone.');
      assert.match(await panel.locator('#passage-text').innerText(), /long before[^]*Peers find each other/);
      assert.ok(await mark.evaluate((node) => {
        const own = node.getBoundingClientRect();
        const around = node.parentElement.getBoundingClientRect();
        return node === document.activeElement && own.top >= around.top && own.bottom <= around.bottom;
      }));
      await page.keyboard.press('Escape');
      await panel.waitFor({ state: 'hidden' });
      assert.ok(await cite.evaluate((node) => node === document.activeElement));
      // The list of sources opens the same.
      await turn.locator('.source').first().click();
      await mark.waitFor();
      await page.getByRole('button', { name: 'Close the document' }).click();
      await panel.waitFor({ state: 'hidden' });
    });
  },

  async a_short_question_is_about_the_one_before(browser, { filled }) {
    await on(browser, filled, {}, async (page) => {
      await (await asked(page, 'And in Mongolia?')).locator('.refusal').waitFor();
      await asked(page, QUESTION);
      const turn = await asked(page, 'And in Mongolia?');
      assert.match(await turn.locator('.source').first().innerText(), /keys\.md/);
    });
  },

  async a_refusal_looks_different_and_says_why(browser, { filled }) {
    await on(browser, filled, {}, async (page) => {
      const turn = await asked(page, 'What is the capital of Mongolia?');
      const refusal = turn.locator('.refusal');
      assert.equal(await refusal.locator('h3').innerText(), 'This is not in your documents.');
      assert.ok((await refusal.locator('p').innerText()).length > 10);
      assert.match(await refusal.innerText(), /support [01]\.\d\d of 1/);
      assert.equal(await turn.locator('.answer, .source').count(), 0);
      assert.match(await page.locator('#status').textContent(), /^Not answered\. This is not in your documents\./);
    });
  },

  async what_a_model_writes_is_shown_and_what_it_takes_back_is_not(browser, { written, doubted }) {
    await on(browser, written, {}, async (page) => {
      const turn = await asked(page, QUESTION);
      assert.match(await turn.locator('.answer').innerText(), /^It lies in identity\.key \W*1\W*$/);
      assert.match(await turn.locator('.about').innerText(), /written by scripted/);
    });
    await on(browser, doubted, {}, async (page) => {
      const turn = await asked(page, QUESTION);
      assert.match(await turn.locator('.answer').innerText(), /identity\.key/);
      assert.doesNotMatch(await turn.locator('.answer').innerText(), /cheese/);
      assert.match(await turn.locator('.about').innerText(), /quoted from the documents/);
    });
  },

  async nothing_that_a_document_contains_runs(browser, { plain }) {
    const script = '<script>alert("script")</scr' + 'ipt><img src=x onerror="alert(1)"><svg onload=alert(2)></svg>';
    const away = '<img src="http://127.0.0.1:9/away.png"><iframe src="http://127.0.0.1:9/"></iframe><a href="javascript:alert(3)">x</a>';
    const name = '"><img src=x onerror=alert(4)>&amp;<b>.md';
    const hostile = `# Keys ${script}\n\nThe node keeps its identity in the file identity.key ${script} ${away} for its owner.\n\n\${alert(5)} {{alert(6)}}\n`;
    await on(browser, plain, {}, async (page) => {
      await brought(page, [file(name, hostile), file('page.html', `<h1>Page</h1>${script}<p onclick="alert(7)">The page says hello to the world.</p>${away}`)]);
      const turn = await asked(page, QUESTION);
      assert.match(await turn.locator('.answer').innerText(), /<script>alert\("script"\)<\/script><img src=x onerror="alert\(1\)">/);
      assert.equal(await turn.locator('img, script, iframe, svg:not(.bar), a').count(), 0);
      await turn.locator('.cite').first().click();
      const panel = page.getByRole('dialog', { name });
      await panel.locator('mark').waitFor();
      assert.match(await panel.locator('#passage-text').innerText(), /<iframe src="http:\/\/127\.0\.0\.1:9\/"><\/iframe>/);
      assert.equal(await panel.locator('img, script, iframe, svg, a').count(), 0);
      await page.keyboard.press('Escape');
      await tab(page, 'Search').click();
      await page.getByLabel('Search for').fill(`identity ${script}`);
      await page.getByLabel('Search for').press('Enter');
      await page.locator('.hit').first().waitFor();
      assert.equal(await page.locator('#hits').locator('img, script, iframe, b').count(), 0);
      await tab(page, 'Statistics').click();
      await page.locator('.chart').first().waitFor();
      assert.equal(await page.locator('#statistics').locator('img, script, iframe, b').count(), 0);
      await tab(page, 'Documents').click();
      assert.ok(await page.getByRole('rowheader', { name }).isVisible());
    });
  },

  async the_policy_holds_should_the_page_ever_be_wrong(browser, { plain }) {
    // The browser tells of what it does not run.
    await on(browser, plain, { allowed: (text) => text.includes('Content Security Policy') }, async (page) => {
      await page.evaluate(() => {
        const note = ({ effectiveDirective }) => (globalThis.blocked = effectiveDirective);
        document.addEventListener('securitypolicyviolation', note, { once: true });
        const own = document.createElement('div');
        own.innerHTML = '<img src="data:," onerror="globalThis.ran = true">';
        document.body.append(own);
      });
      await page.waitForFunction(() => globalThis.blocked !== undefined || globalThis.ran !== undefined);
      const ran = await page.evaluate(() => [globalThis.ran, globalThis.blocked]);
      assert.deepEqual(ran, [undefined, 'script-src-attr']);
    });
  },

  async everything_can_be_done_with_the_keyboard(browser, { plain }) {
    await on(browser, plain, {}, async (page) => {
      const press = (key) => page.keyboard.press(key);
      // Listened for from the beginning, since the browser has to be told first.
      const chooser = page.waitForEvent('filechooser');
      await page.getByText('There are no documents yet. Bring some').waitFor();
      await press('Tab');
      assert.equal(await focused(page), 'Skip to the content');
      await press('Tab');
      assert.equal(await focused(page), 'Ask');
      await press('ArrowRight');
      assert.equal(await focused(page), 'Documents');
      assert.ok(await page.getByRole('tabpanel', { name: 'Documents' }).isVisible());
      assert.ok(await page.getByRole('tabpanel', { name: 'Ask' }).isHidden());
      await press('End');
      assert.equal(await focused(page), 'Statistics');
      await press('ArrowRight');
      assert.equal(await focused(page), 'Ask');
      await press('ArrowRight');
      await press('Tab');
      assert.equal(await page.evaluate(() => document.activeElement.id), 'files');
      await press('Enter');
      await (await chooser).setFiles([file('keys.md', KEYS)]);
      await page.locator('#uploads').getByText('taken, with 1 passage').waitFor();
      await page.getByRole('rowheader', { name: 'keys.md' }).waitFor();

      await tab(page, 'Documents').focus();
      await press('Home');
      await press('Tab');
      await page.keyboard.type(QUESTION);
      await press('Enter');
      await page.locator('.cite').first().waitFor();
      await press('Shift+Tab');
      assert.match(await focused(page), /keys\.md/);
      for (let step = 0; step < 4 && (await focused(page)) !== '1'; step += 1) await press('Shift+Tab');
      assert.equal(await focused(page), '1');
      await press('Enter');
      await page.locator('mark').waitFor();
      assert.match(await focused(page), /identity\.key/);
      // The focus stays inside, and comes back.
      for (let step = 0; step < 5; step += 1) {
        await press('Tab');
        assert.ok(await page.evaluate(() => document.activeElement === document.body || document.querySelector('#passage').contains(document.activeElement)));
      }
      await press('Escape');
      assert.equal(await focused(page), '1');

      await tab(page, 'Ask').focus();
      await press('ArrowRight');
      await page.getByRole('rowheader', { name: 'keys.md' }).waitFor();
      for (let step = 0; step < 6 && (await focused(page)) !== 'Delete'; step += 1) await press('Tab');
      await press('Enter');
      assert.equal(await focused(page), 'Keep it');
      await press('Tab');
      await press('Enter');
      await page.getByText('There are no documents yet.', { exact: true }).waitFor();
      assert.equal(await page.evaluate(() => document.activeElement.id), 'files');
    });
  },

  async axe_finds_nothing_serious_in_light_and_in_dark(browser, { filled }) {
    for (const scheme of ['light', 'dark']) {
      for (const width of [1100, 320]) {
        await on(browser, filled, { scheme, width, allowed: (text) => text.includes('415') }, async (page) => {
          const found = [];
          const look = async (where) => found.push(...(await violations(page)).map((text) => `${scheme} ${width} ${where}: ${text}`));
          await page.getByText('holds 2 documents').waitFor();
          await look('welcome');
          await asked(page, QUESTION);
          await asked(page, 'What is the capital of Mongolia?');
          await look('answers');
          await page.locator('.cite').first().click();
          await page.locator('mark').waitFor();
          await look('passage');
          await page.keyboard.press('Escape');
          await brought(page, [file('program.exe', 'MZ\0')]);
          await page.getByRole('rowheader', { name: 'keys.md' }).waitFor();
          await look('documents');
          await page.getByRole('button', { name: 'Delete keys.md' }).click();
          await look('confirmation');
          await page.keyboard.press('Escape');
          await tab(page, 'Search').click();
          await page.getByLabel('Search for').fill('identity file');
          await page.getByLabel('Search for').press('Enter');
          await page.locator('.hit').first().waitFor();
          await look('search');
          await tab(page, 'Statistics').click();
          await page.locator('.chart').first().waitFor();
          await look('statistics');
          assert.deepEqual(found, []);
        });
      }
    }
  },

  async a_search_says_why_a_passage_stands_where_it_stands(browser, { filled }) {
    await on(browser, filled, {}, async (page) => {
      await tab(page, 'Search').click();
      await page.getByLabel('Search for').fill('identity file of the node');
      await page.getByRole('button', { name: 'Search' }).click();
      const first = page.locator('.hit').first();
      await first.waitFor();
      const scores = await first.locator('.scores').innerText();
      assert.match(scores, /1st by its words, BM25 \d+\.\d\d/);
      assert.match(scores, /\d+(st|nd|rd|th) by its meaning, cosine 0\.\d\d of 1/);
      assert.match(scores, /0\.\d\d: 71 % for its words, against the most that the question allows, and 29 % for its meaning/);
      await page.getByLabel('words', { exact: true }).check();
      await page.getByLabel('Search for').press('Enter');
      await page.locator('.hit .scores:not(:has-text("meaning"))').first().waitFor();
      await first.getByRole('button', { name: 'keys.md' }).click();
      assert.ok((await page.locator('mark').innerText()).includes('identity.key'));
      await page.keyboard.press('Escape');
      await page.getByLabel('Search for').fill('zzzzqqqq');
      await page.getByLabel('Search for').press('Enter');
      await page.getByText('Nothing was found.').waitFor();
    });
  },

  async statistics_have_numbers_and_pictures(browser, { filled }) {
    await on(browser, filled, {}, async (page) => {
      await tab(page, 'Statistics').click();
      const formats = page.getByRole('img', { name: /^Documents by format\./ });
      await formats.waitFor();
      assert.equal(await formats.getAttribute('aria-label'), 'Documents by format. markdown: 1 document; text: 1 document');
      assert.match(await page.getByRole('img', { name: /^Passages per document\./ }).getAttribute('aria-label'), /cooking\.txt: 1 passage$/);
      assert.match(await page.locator('.tiles').innerText(), /documents\s+2\s+passages\s+\d+/);
      assert.match(await page.locator('.facts').innerText(), /by words and by meaning[^]*meaning counts 29 %[^]*hashing-64, 64 dimensions[^]*quoted/);
    });
  },

  async one_of_several_knowledge_bases_is_chosen(browser, { several }) {
    await on(browser, several, {}, async (page) => {
      await page.getByLabel('Knowledge base').selectOption('the kitchen / é');
      await page.getByText('the kitchen / é holds 1 document').waitFor();
      const refused = await asked(page, QUESTION);
      await refused.locator('.refusal').waitFor();
      await tab(page, 'Documents').click();
      await page.getByRole('rowheader', { name: 'cooking.txt' }).waitFor();
      await page.getByLabel('Knowledge base').selectOption('keys');
      await page.getByRole('rowheader', { name: 'keys.md' }).waitFor();
      assert.equal(await page.locator('.turn').count(), 0);
      await page.reload();
      await page.getByText('keys holds 1 document').waitFor();
    });
  },

  async the_token_is_asked_for_and_kept_for_the_tab_alone(browser, { locked }) {
    const allowed = (text) => text.includes('401');
    await on(browser, locked, { allowed }, async (page) => {
      const dialog = page.getByRole('dialog', { name: 'Token' });
      await dialog.getByLabel('Token', { exact: true }).fill('wrong');
      await page.keyboard.press('Enter');
      await dialog.getByText('That is not the token of this server.').waitFor();
      await dialog.getByLabel('Token', { exact: true }).fill('token');
      await dialog.getByRole('button', { name: 'Continue' }).click();
      await dialog.waitFor({ state: 'hidden' });
      await brought(page, [file('keys.md', KEYS)]);
      await (await asked(page, QUESTION)).locator('.cite').first().waitFor();
      await page.reload();
      await page.getByText('holds 1 document').waitFor();
      assert.deepEqual(await page.evaluate(() => [localStorage.length, document.cookie]), [0, '']);
    });
    await on(browser, locked, { allowed }, async (page) => {
      await page.getByRole('dialog', { name: 'Token' }).waitFor();
      await page.keyboard.press('Escape');
      await page.getByText('Without its token the server says nothing.').waitFor();
    });
  },

  async everything_fits_on_a_narrow_screen(browser, { filled }) {
    await on(browser, filled, { width: 320, height: 640 }, async (page) => {
      const fits = async (where) =>
        assert.ok(await page.evaluate(() => document.scrollingElement.scrollWidth <= innerWidth), `${where} is too wide`);
      const turn = await asked(page, `${QUESTION} ${'x'.repeat(200)}`);
      await fits('an answer');
      await (turn.locator('.source, .refusal').first()).waitFor();
      await (await asked(page, QUESTION)).locator('.cite').first().click();
      await page.locator('mark').waitFor();
      assert.ok(await page.evaluate(() => document.querySelector('#passage').getBoundingClientRect().width <= 320));
      await page.keyboard.press('Escape');
      await brought(page, [file(`${'long-name'.repeat(12)}.md`, KEYS)]);
      await fits('the documents');
      await tab(page, 'Search').click();
      await page.getByLabel('Search for').fill('identity');
      await page.getByLabel('Search for').press('Enter');
      await page.locator('.hit').first().waitFor();
      await fits('the search');
      await tab(page, 'Statistics').click();
      await page.locator('.chart').first().waitFor();
      await fits('the statistics');
    });
  },

  async an_address_opens_a_passage(browser, { filled, passage }) {
    await on(browser, filled, { path: passage }, async (page) => {
      await page.locator('mark').waitFor();
      assert.equal(await page.locator('mark').innerText(), 'The default port for pages is 9090.');
    });
    await on(browser, filled, { path: '/#document=0123&from=5&to=1', allowed: (text) => text.includes('404') }, async (page) => {
      await page.getByRole('alert').getByText('no document has the id 0123').waitFor();
    });
  },

  async the_status_shows_models_by_their_blocks_and_hosts(browser, { state }) {
    for (const scheme of ['light', 'dark']) {
      await on(browser, state, { path: '/status', scheme }, async (page) => {
        await page.getByRole('heading', { name: 'spread' }).waitFor();
        const blocks = page.getByRole('list', { name: 'Blocks of spread' });
        assert.equal(await blocks.getByRole('listitem').count(), 8);
        assert.equal(await blocks.getByText('block 7: nobody').count(), 1);
        assert.equal(await blocks.getByText('block 2: 2 hosts').count(), 1);
        assert.ok(await page.getByText('1 block of 8 is at nobody.').isVisible());
        assert.ok(await page.getByText('<img src=x onerror=alert(1)> stands too low').isVisible());
        assert.ok(await page.getByText('Runs on this machine, all 12 blocks.').isVisible());
        assert.ok(await page.getByText('nobody can be asked').isVisible());
        assert.deepEqual(await violations(page), []);
      });
    }
  },

  async the_status_goes_on_with_what_is_done(browser, { state }) {
    await on(browser, state, { path: '/status' }, async (page) => {
      const written = page.locator('.tile').filter({ hasText: 'tokens written' }).locator('dd');
      await written.waitFor();
      assert.equal(await written.textContent(), '0');
      const said = await page.request.post(`${state}/v1/chat/completions`, {
        data: { model: 'whole', messages: [{ role: 'user', content: 'go' }] },
      });
      assert.equal(said.status(), 200);
      await page.locator('.tile').filter({ hasText: 'tokens written' }).getByText('500').waitFor();
      await page.locator('.speed polyline').waitFor();
      assert.match(await page.locator('.speed svg').getAttribute('aria-label'), /at most [1-9]/);
    });
    await on(browser, state, { path: '/status', width: 320 }, async (page) => {
      await page.getByRole('heading', { name: 'spread' }).waitFor();
      assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= 320));
    });
  },

  async an_answer_can_be_stopped(browser, { endless }) {
    await on(browser, endless, {}, async (page) => {
      await page.getByLabel('Your question').fill(QUESTION);
      await page.getByLabel('Your question').press('Enter');
      await page.getByText('It lies in').waitFor();
      await page.getByRole('button', { name: 'Stop' }).click();
      await page.locator('.turn').getByText('Stopped.').waitFor();
      assert.ok(await page.getByRole('button', { name: 'Ask', exact: true }).isVisible());
    });
  },
};

/** Pictures for the documents: what the page looks like. */
async function pictures(browser, { shown, state, folder }) {
  const take = async (name, scheme, work, { at = shown, ...more } = {}) => {
    await on(browser, at, { scheme, width: 1000, height: 640, ...more }, async (page) => {
      await work(page);
      await page.screenshot({ path: `${folder}/${name}.png` });
    });
  };
  const question = 'How many watts do the laptops draw while they answer a question?';
  await take('page-answer', 'light', async (page) => {
    await (await asked(page, question)).locator('.cite').first().waitFor();
  });
  await take('page-passage', 'dark', async (page) => {
    await (await asked(page, question)).locator('.cite').first().click();
    await page.locator('mark').waitFor();
  });
  await take('page-documents', 'light', async (page) => {
    await tab(page, 'Documents').click();
    await page.locator('tbody tr').first().waitFor();
  });
  await take('page-search', 'light', async (page) => {
    await tab(page, 'Search').click();
    await page.getByLabel('Search for').fill('who keeps a record of questions');
    await page.getByLabel('Search for').press('Enter');
    await page.locator('.hit').first().waitFor();
  });
  await take(
    'page-status',
    'light',
    async (page) => {
      await page.getByRole('heading', { name: 'spread' }).waitFor();
      for (let turn = 0; turn < 4; turn += 1) {
        const message = { role: 'user', content: 'go' };
        for (let more = 0; more <= turn % 3; more += 1) {
          await page.request.post(`${state}/v1/chat/completions`, { data: { model: 'whole', messages: [message] } });
        }
        await page.waitForResponse((response) => response.url().endsWith('/v1/status'));
      }
      await page.locator('.speed polyline').waitFor();
    },
    { at: state, path: '/status', height: 900 },
  );
  await take('page-statistics', 'light', async (page) => {
    await tab(page, 'Statistics').click();
    await page.locator('.chart').first().waitFor();
  });
}

const program = PLACES.find((place) => existsSync(place));
let browser;
for await (const line of createInterface({ input: process.stdin })) {
  const { do: what, ...servers } = JSON.parse(line);
  let answer;
  try {
    if (what === 'list') {
      answer = { ok: Object.keys(checks) };
    } else {
      browser ??= await chromium.launch({ executablePath: program, args: ['--no-sandbox', '--disable-gpu'] });
      await (what === 'pictures' ? pictures : checks[what])(browser, servers);
      answer = { ok: null };
    }
  } catch (error) {
    answer = { error: String(error.stack ?? error).slice(0, 4000) };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
await browser?.close();
