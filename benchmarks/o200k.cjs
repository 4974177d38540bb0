// Counts tokens in o200k_base for benchmarks/texts.py. The argument is the folder that npm installed gpt-tokenizer into; texts come in as a JSON array on
// the standard input, and one object goes out: { counts: [tokens of each text], words: [[rank, word beyond ASCII], …] }.
'use strict';
const { createRequire } = require('node:module');
const { join } = require('node:path');
const { readFileSync } = require('node:fs');

const load = createRequire(join(process.argv[2], 'package.json'));
const { countTokens } = load('gpt-tokenizer/encoding/o200k_base');
const ranks = load(join(process.argv[2], 'node_modules/gpt-tokenizer/cjs/bpeRanks/o200k_base.js')).default;

const decoder = new TextDecoder('utf-8', { fatal: true });
function wordOf(token) {
  if (typeof token === 'string') return token;
  try {
    return decoder.decode(Uint8Array.from(token));
  } catch {
    return ''; // part of a character
  }
}

// what looks like a special token in a text is text
const options = { disallowedSpecial: new Set() };
const counts = JSON.parse(readFileSync(0, 'utf8')).map((text) => countTokens(text, options));
const words = ranks.map((token, rank) => [rank, wordOf(token)]).filter(([, word]) => /[^\x00-\x7f]/.test(word));
process.stdout.write(JSON.stringify({ counts, words }));
