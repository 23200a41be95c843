// Lints an OpenAPI document with Redocly's linter and the rules beside this file. Every warning counts.
//     node lint.js DOCUMENT.json
'use strict';

const { formatProblems, getTotals, lint, loadConfig } = require('@redocly/openapi-core');
const path = require('path');

async function main(document) {
  const config = await loadConfig({ configPath: path.join(__dirname, 'redocly.yaml') });
  const problems = await lint({ ref: document, config });
  const totals = getTotals(problems);
  formatProblems(problems, { format: 'stylish', totals });
  console.log(`${totals.errors} errors, ${totals.warnings} warnings, ${totals.ignored} ignored`);
  return totals.errors + totals.warnings === 0 ? 0 : 1;
}

main(process.argv[2]).then((status) => { process.exitCode = status; });
